#include "weights/slot_table.h"

#include <algorithm>
#include <utility>

#include "base/buffer.h"
#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

constexpr size_t kAlignment = 64;
// A workspace is exchanged for a smaller one when it is larger than twice what is needed and this.
constexpr size_t kSlack = size_t{1} << 20;

}  // namespace

SlotTable::SlotTable(const std::vector<std::span<const FfnWeights>>& base_experts) {
  for (const std::span<const FfnWeights> base : base_experts) {
    layers_.push_back({{base.begin(), base.end()}, {}});
  }
}

void SlotTable::Take(AdapterWeights& weights) {
  GH_CHECK_EQ(weights.layers.size(), layers_.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    LayerAdapter& adapter = weights.layers[l];
    GH_CHECK(adapter.slots.empty());
    for (size_t i = 0; i < adapter.experts.size(); ++i) {
      if (layer.holes.empty()) {
        adapter.slots.push_back(static_cast<int32_t>(layer.slots.size()));
        layer.slots.emplace_back();
      } else {
        adapter.slots.push_back(layer.holes.extract(layer.holes.begin()).value());
      }
    }
  }
}

void SlotTable::Put(const AdapterWeights& weights) {
  for (size_t l = 0; l < layers_.size(); ++l) {
    const LayerAdapter& adapter = weights.layers[l];
    for (size_t i = 0; i < adapter.slots.size(); ++i) {
      layers_[l].slots.at(static_cast<size_t>(adapter.slots[i])) = adapter.replaced[i];
    }
  }
}

void SlotTable::Release(const AdapterWeights& weights) {
  for (size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    for (const int32_t slot : weights.layers[l].slots) {
      layer.slots.at(static_cast<size_t>(slot)) = {};
      GH_CHECK(layer.holes.insert(slot).second);
    }
    while (!layer.holes.empty() && *layer.holes.rbegin() + 1 == static_cast<int32_t>(layer.slots.size())) {
      layer.holes.erase(std::prev(layer.holes.end()));
      layer.slots.pop_back();
    }
  }
}

int64_t SlotTable::max_slots() const {
  size_t most = 0;
  for (const Layer& layer : layers_) most = std::max(most, layer.slots.size());
  return static_cast<int64_t>(most);
}

std::vector<ExpertTables::Layer> SlotTable::Layers() const {
  std::vector<ExpertTables::Layer> layers;
  for (const Layer& layer : layers_) layers.push_back({layer.slots});
  return layers;
}

absl::StatusOr<std::shared_ptr<const ExpertTables>> MakeExpertTables(const SlotTable& slots,
                                                                     const WorkspaceNeed& need,
                                                                     const ExpertTables* previous) {
  auto tables = std::make_shared<ExpertTables>();
  tables->layers = slots.Layers();
  tables->max_slots = slots.max_slots();
  tables->rank_columns = need.columns;
  const size_t groups = (static_cast<size_t>(tables->max_slots + 1) * sizeof(int32_t) + kAlignment - 1) /
                        kAlignment * kAlignment;
  const size_t bytes = groups + static_cast<size_t>(need.rows * need.columns) * sizeof(float);
  if (previous != nullptr && previous->workspace->size() >= bytes) tables->workspace = previous->workspace;
  if (tables->workspace == nullptr || tables->workspace->size() > 2 * bytes + kSlack) {
    absl::StatusOr<Buffer> buffer = Buffer::Allocate(bytes, "workspace of low-rank adapters");
    if (buffer.ok()) tables->workspace = std::make_shared<Buffer>(*std::move(buffer));
    if (tables->workspace == nullptr) return buffer.status();  // a smaller one is no necessity
  }
  tables->group_begin = tables->workspace->As<int32_t>();
  tables->low_rank_workspace = reinterpret_cast<float*>(tables->workspace->data() + groups);
  return tables;
}

}  // namespace guildhall
