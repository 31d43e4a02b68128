#include "weights/low_rank_descriptors.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/arena.h"
#include "base/status.h"
#include "weights/adapter_weights.h"
#include "weights/product_numbers.h"

namespace guildhall {
namespace {

std::vector<const LowRankPlan*> PointersTo(const std::vector<LowRankPlan>& plans) {
  std::vector<const LowRankPlan*> pointers;
  for (const LowRankPlan& plan : plans) pointers.push_back(&plan);
  return pointers;
}

std::vector<const LowRankPlan*> PointersTo(const std::vector<FfnLowRankPlan>& plans,
                                           LowRankPlan FfnLowRankPlan::*product) {
  std::vector<const LowRankPlan*> pointers;
  for (const FfnLowRankPlan& plan : plans) pointers.push_back(&(plan.*product));
  return pointers;
}

void AddLayer(const LayerAdapter& layer, size_t index, LowRankDescriber& describer) {
  const auto add = [&](Product product, std::vector<const LowRankPlan*> plans) {
    describer.Add(ProductNumber(index, product), std::move(plans));
  };
  for (int p = 0; p < kStackedProducts; ++p) {
    add(static_cast<Product>(p), {&layer.products[static_cast<size_t>(p)]});
  }
  add(Product::kKUp, PointersTo(layer.k_up));
  add(Product::kVUp, PointersTo(layer.v_up));
  add(Product::kExpertGateUp, PointersTo(layer.experts_low_rank, &FfnLowRankPlan::gate_up));
  add(Product::kExpertDown, PointersTo(layer.experts_low_rank, &FfnLowRankPlan::down));
  add(Product::kSharedGateUp, {&layer.shared_low_rank.gate_up});
  add(Product::kSharedDown, {&layer.shared_low_rank.down});
  add(Product::kDenseGateUp, {&layer.dense_low_rank.gate_up});
  add(Product::kDenseDown, {&layer.dense_low_rank.down});
}

}  // namespace

void LowRankDescriber::Add(int32_t product, std::vector<const LowRankPlan*> plans) {
  if (std::all_of(plans.begin(), plans.end(), [](const LowRankPlan* plan) { return plan->empty(); })) return;
  entries_.push_back({product, std::move(plans)});
}

absl::StatusOr<LowRankDescriptors> LowRankDescriber::Build(DeviceMemory& memory) const {
  LowRankDescriptors made;
  int64_t changes = 0, parts = 0;
  for (const Entry& entry : entries_) {
    changes += static_cast<int64_t>(entry.plans.size());
    for (const LowRankPlan* plan : entry.plans) parts += static_cast<int64_t>(plan->parts.size());
  }
  const auto divide = [&](Arena arena) {
    auto* change = arena.Take<LowRank>(changes);
    auto* part = arena.Take<LowRankPart>(parts);
    return std::tuple(change, part, arena.bytes());
  };
  const size_t bytes = std::get<2>(divide(Arena()));
  if (changes == 0) return made;
  GH_ASSIGN_OR_RETURN(made.memory, memory.Allocate(bytes, "descriptors of low-rank changes"));
  GH_ASSIGN_OR_RETURN(const HostTwin twin, memory.MakeTwin(made.memory.data(), bytes));
  auto [home, home_part, home_bytes] = divide(Arena(twin.home()));
  auto [host, host_part, host_bytes] = divide(Arena(twin.data()));
  for (const Entry& entry : entries_) {
    made.changes.push_back({entry.product, home});
    for (const LowRankPlan* plan : entry.plans) {
      const auto count = static_cast<int64_t>(plan->parts.size());
      *host++ = {plan->a, home_part, count, plan->gain, plan->in_gain};
      host_part = std::copy(plan->parts.begin(), plan->parts.end(), host_part);
      home_part += count;
      ++home;
    }
  }
  GH_RETURN_IF_ERROR(memory.Upload(twin));
  return made;
}

absl::StatusOr<LowRankDescriptors> DescribeLowRank(const AdapterWeights& weights, DeviceMemory& memory) {
  LowRankDescriber describer;
  describer.Add(kHeadNumber, {&weights.head});
  describer.Add(kEmbeddingNumber, {&weights.embedding});
  for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
    AddLayer(weights.layers[layer], layer, describer);
  }
  return describer.Build(memory);
}

}  // namespace guildhall
