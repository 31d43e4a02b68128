#include "weights/adapter_plan.h"

#include <map>
#include <set>
#include <utility>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/low_rank_plan.h"
#include "weights/pack_tensors.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

constexpr size_t kRangesOfLayer = 4;

// Which network of the adapter's own vectors an item fills.
struct FfnPlace {
  size_t layer = 0;
  size_t index = 0;  // among the layer's replaced experts
  bool shared = false;

  FfnWeights& In(AdapterWeights& weights) const {
    LayerAdapter& adapter = weights.layers[layer];
    return shared ? adapter.shared : adapter.replaced[index];
  }
};

class Planner {
 public:
  Planner(const ModelSpec& spec, const Backend& backend, const AdapterManifest& manifest,
          const AdapterSource* source, const AdapterPlanOptions& options)
      : spec_(spec), backend_(backend), manifest_(manifest), source_(source), options_(options) {
    plan_.weights.layers.resize(spec.layers.size());
  }

  absl::StatusOr<AdapterPlan> Make() {
    for (const ReplacedFfn& ffn : manifest_.replaced) GH_RETURN_IF_ERROR(AddReplaced(ffn));
    if (options_.padded_experts > 0 && plan_.experts > 0) GH_RETURN_IF_ERROR(Pad(options_.padded_experts));
    std::vector<LowRankGroup> groups = GroupLowRank(spec_, manifest_.low_rank);
    ShapeLowRank(spec_, backend_, groups, plan_.weights);
    for (LowRankGroup& group : groups) AddLowRank(std::move(group));
    plan_.layers = static_cast<int>(touched_.size());
    plan_.low_rank_modules = static_cast<int>(manifest_.low_rank.size());
    return std::move(plan_);
  }

 private:
  static size_t RangeOf(size_t layer, bool shared, bool down) {
    return layer * kRangesOfLayer + (shared ? 2 : 0) + (down ? 1 : 0);
  }

  size_t AddRun(size_t range, size_t bytes) {
    plan_.runs.push_back({range, bytes, nullptr});
    return plan_.runs.size() - 1;
  }

  absl::Status AddReplaced(const ReplacedFfn& ffn) {
    GH_CHECK(ffn.layer >= 0 && static_cast<size_t>(ffn.layer) < spec_.layers.size());
    const auto layer = static_cast<size_t>(ffn.layer);
    GH_CHECK(spec_.layers[layer].moe);
    LayerAdapter& adapter = plan_.weights.layers[layer];
    const FfnPlace place{layer, adapter.replaced.size(), ffn.expert < 0};
    if (place.shared && spec_.mlp_bias) {
      return absl::FailedPreconditionError(StrCat("layer ", ffn.layer,
                                                  ": replaced shared experts are not served for a model whose"
                                                  " shared experts have biases; serve it as its own base"));
    }
    if (!place.shared) {
      GH_CHECK_LT(ffn.expert, spec_.gate.experts);
      if (!adapter.experts.empty()) GH_CHECK_LT(adapter.experts.back(), ffn.expert);
      adapter.experts.push_back(ffn.expert);
      adapter.replaced.emplace_back();
      ++plan_.experts;
    }
    adapter.replaces_shared |= place.shared;
    touched_.insert(ffn.layer);
    AddGateUp(ffn, place);
    AddDown(ffn, place);
    return absl::OkStatus();
  }

  // As the base has its own, else the file's: but a base of float32 computes with float32 activations, which
  // products with bf16 weights might round, and its experts are widened.
  WeightFormat FormatIn(const FfnPlace& place, DType dtype) const {
    const auto& asked = place.shared ? options_.formats.shared_experts : options_.formats.experts;
    return asked.value_or(FormatOf(spec_.dtype == DType::kF32 ? DType::kF32 : dtype));
  }

  void AddGateUp(const ReplacedFfn& ffn, const FfnPlace& place) {
    const WeightKey gate{place.shared ? WeightRole::kSharedGate : WeightRole::kExpertGate, ffn.layer,
                         ffn.expert};
    const WeightKey up{place.shared ? WeightRole::kSharedUp : WeightRole::kExpertUp, ffn.layer, ffn.expert};
    const WeightFormat format = FormatIn(place, ffn.gate == ffn.up ? ffn.gate : DType::kF32);
    const PackShape shape = PackShape::GateUp(format, ShapeOf(spec_, gate).out, spec_.hidden);
    const size_t run = AddTensor(ffn, false, shape, {gate, up});
    plan_.views.push_back([shape, run, place](std::span<const Run> runs, AdapterWeights& weights) {
      place.In(weights).gate_up = shape.At(runs[run].begin);
    });
  }

  void AddDown(const ReplacedFfn& ffn, const FfnPlace& place) {
    const WeightKey key{place.shared ? WeightRole::kSharedDown : WeightRole::kExpertDown, ffn.layer,
                        ffn.expert};
    const WeightFormat format = FormatIn(place, ffn.down);
    const PackShape shape = PackShape::Stack(format, spec_.hidden, ShapeOf(spec_, key).in);
    const size_t run = AddTensor(ffn, true, shape, {key});
    plan_.views.push_back([shape, run, place](std::span<const Run> runs, AdapterWeights& weights) {
      place.In(weights).down = shape.At(runs[run].begin);
    });
  }

  // A tensor in a run of its own, which is returned.
  size_t AddTensor(const ReplacedFfn& ffn, bool down, const PackShape& shape, std::vector<WeightKey> keys) {
    PackedItem item;
    item.format = shape.format;
    item.out = shape.out;
    item.in = shape.in;
    item.name = StrCat("layers.", ffn.layer, ffn.expert < 0 ? ".shared" : StrCat(".experts.", ffn.expert),
                       down ? ".down" : ".gate_up");
    item.bytes = backend_.PackedBytes(shape);
    item.run = AddRun(RangeOf(static_cast<size_t>(ffn.layer), ffn.expert < 0, down), item.bytes);
    std::vector<WeightPart> parts;
    for (const WeightKey& key : keys) parts.push_back({key, ShapeOf(spec_, key).out});
    item.fill = [source = source_, &backend = backend_, shape, parts = std::move(parts)](
                    std::byte* place, PackScratch& scratch) {
      const auto read = [&](const WeightKey& key, int64_t begin, int64_t end, std::vector<std::byte>& bytes) {
        return source->ReadReplacedRows(key, begin, end, bytes);
      };
      return PackTensors(read, backend, shape, parts, place, scratch);
    };
    plan_.tensor_bytes += item.bytes;
    plan_.items.push_back(std::move(item));
    return plan_.items.back().run;
  }

  // The baseline: places that nothing fills, as in a tensor with a fixed number of rows per adapter.
  absl::Status Pad(int places) {
    const WeightFormat format = options_.formats.experts.value_or(FormatOf(spec_.dtype));
    for (size_t layer = 0; layer < spec_.layers.size(); ++layer) {
      if (!spec_.layers[layer].moe) continue;
      const size_t replaced = plan_.weights.layers[layer].experts.size();
      if (replaced > static_cast<size_t>(places)) {
        return absl::FailedPreconditionError(StrCat("layer ", layer, " has ", replaced,
                                                    " replaced experts, and padding leaves room for ", places,
                                                    ": raise padded_experts"));
      }
      for (size_t i = replaced; i < static_cast<size_t>(places); ++i) {
        AddRun(RangeOf(layer, false, false),
               backend_.PackedBytes(PackShape::GateUp(format, spec_.expert_width, spec_.hidden)));
        AddRun(RangeOf(layer, false, true),
               backend_.PackedBytes(PackShape::Stack(format, spec_.hidden, spec_.expert_width)));
      }
    }
    return absl::OkStatus();
  }

  // All low-rank bytes of a layer lie in one run: there may be thousands of small tensors.
  void AddLowRank(LowRankGroup group) {
    const int layer = group.target.layer;
    if (layer >= 0) touched_.insert(layer);
    const auto [entry, fresh] = low_rank_runs_.emplace(layer, plan_.runs.size());
    if (fresh) AddRun(spec_.layers.size() * kRangesOfLayer, 0);
    const size_t index = entry->second;
    Run& run = plan_.runs[index];
    LowRankItem low_rank = PlanLowRank(spec_, backend_, source_, std::move(group));
    const size_t offset = run.bytes;
    low_rank.item.run = index;
    low_rank.item.offset = offset;
    run.bytes += AlignUp(low_rank.item.bytes);
    plan_.tensor_bytes += low_rank.tensor_bytes;
    plan_.items.push_back(std::move(low_rank.item));
    plan_.views.push_back(
        [index, offset, view = std::move(low_rank.view)](std::span<const Run> runs, AdapterWeights& weights) {
          view(runs[index].begin + offset, weights);
        });
  }

  const ModelSpec& spec_;
  const Backend& backend_;
  const AdapterManifest& manifest_;
  const AdapterSource* const source_;
  const AdapterPlanOptions& options_;
  AdapterPlan plan_;
  std::set<int> touched_;
  std::map<int, size_t> low_rank_runs_;  // layer -> run
};

}  // namespace

size_t AdapterRanges(const ModelSpec& spec) {
  return spec.layers.size() * kRangesOfLayer + 1;
}

absl::StatusOr<AdapterPlan> PlanAdapter(const ModelSpec& spec, const Backend& backend,
                                        const AdapterManifest& manifest, const AdapterSource* source,
                                        const AdapterPlanOptions& options) {
  return Planner(spec, backend, manifest, source, options).Make();
}

AdapterWeights TakeViews(AdapterPlan& plan) {
  AdapterWeights weights = std::move(plan.weights);
  for (const AdapterView& view : plan.views) view(plan.runs, weights);
  return weights;
}

}  // namespace guildhall
