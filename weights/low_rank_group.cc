#include <algorithm>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/str_cat.h"
#include "weights/low_rank_plan.h"
#include "weights/product_layout.h"

namespace guildhall {
namespace {

using Kind = LowRankTarget::Kind;

constexpr int32_t kUp = 1;  // the module beside gate

struct Placed {
  LowRankTarget target;
  int32_t module = 0;
  int64_t out_begin = 0;
};

Placed PlaceOf(const ModelSpec& spec, const WeightKey& key) {
  const int layer = key.layer;
  switch (key.role) {
    case WeightRole::kHead:
      return {{-1, Kind::kHead}};
    case WeightRole::kEmbedding:
      return {{-1, Kind::kEmbedding}};
    case WeightRole::kKvB:
      return {{layer, Kind::kKvB}};
    case WeightRole::kExpertGate:
      return {{layer, Kind::kExpertGateUp, key.expert}};
    case WeightRole::kExpertUp:
      return {{layer, Kind::kExpertGateUp, key.expert}, kUp};
    case WeightRole::kExpertDown:
      return {{layer, Kind::kExpertDown, key.expert}};
    case WeightRole::kSharedGate:
      return {{layer, Kind::kSharedGateUp}};
    case WeightRole::kSharedUp:
      return {{layer, Kind::kSharedGateUp}, kUp};
    case WeightRole::kSharedDown:
      return {{layer, Kind::kSharedDown}};
    case WeightRole::kGate:
      return {{layer, Kind::kDenseGateUp}};
    case WeightRole::kUp:
      return {{layer, Kind::kDenseGateUp}, kUp};
    case WeightRole::kDown:
      return {{layer, Kind::kDenseDown}};
    default: {
      const auto place = PlaceInProduct(spec, key);
      GH_CHECK(place.has_value());
      return {{layer, Kind::kProduct, static_cast<int>(place->product)}, 0, place->out_begin};
    }
  }
}

void CheckChange(const ModelSpec& spec, const LowRankChange& change) {
  const WeightShape shape = ShapeOf(spec, change.key);
  const bool embedding = change.key.role == WeightRole::kEmbedding;  // a lookup: its table is transposed
  GH_CHECK_EQ(change.in, embedding ? shape.out : shape.in);
  GH_CHECK_EQ(change.out, embedding ? shape.in : shape.out);
  GH_CHECK_GT(change.rank, 0);
  GH_CHECK(change.dtype == DType::kF32 || change.dtype == DType::kBF16);
  GH_CHECK_LT(change.key.layer, static_cast<int>(spec.layers.size()));
  GH_CHECK(change.key.expert < 0 || change.key.expert < spec.gate.experts);
}

}  // namespace

bool LowRankGroup::dora() const {
  return std::any_of(modules.begin(), modules.end(), [](const Module& m) { return m.change->dora; });
}

DType LowRankGroup::a_dtype() const {
  const bool narrow = std::all_of(modules.begin(), modules.end(),
                                  [](const Module& m) { return m.change->dtype == DType::kBF16; });
  return narrow ? DType::kBF16 : DType::kF32;
}

int64_t LowRankGroup::rank() const {
  int64_t rank = 0;
  for (const Module& module : modules) rank += module.change->rank;
  return rank;
}

std::vector<LowRankGroup> GroupLowRank(const ModelSpec& spec, const std::vector<LowRankChange>& changes) {
  std::map<LowRankTarget, LowRankGroup> groups;
  for (const LowRankChange& change : changes) {
    CheckChange(spec, change);
    const Placed placed = PlaceOf(spec, change.key);
    LowRankGroup& group = groups[placed.target];
    group.target = placed.target;
    group.modules.push_back({&change, placed.module, placed.out_begin});
  }
  std::vector<LowRankGroup> ordered;
  for (auto& [target, group] : groups) {
    std::sort(group.modules.begin(), group.modules.end(), [](const auto& a, const auto& b) {
      return std::tie(a.module, a.out_begin) < std::tie(b.module, b.out_begin);
    });
    for (size_t i = 1; i < group.modules.size(); ++i) {
      const LowRankGroup::Module& before = group.modules[i - 1];
      if (before.module != group.modules[i].module) continue;
      GH_CHECK_LE(before.out_begin + before.change->out, group.modules[i].out_begin);
    }
    ordered.push_back(std::move(group));
  }
  return ordered;
}

void ShapeLowRank(const ModelSpec& spec, const Backend& backend, const std::vector<LowRankGroup>& groups,
                  AdapterWeights& weights) {
  for (const LowRankGroup& group : groups) {
    const int64_t columns = backend.LowRankColumns(group.rank());
    weights.rank_columns = std::max(weights.rank_columns, columns);
    if (group.target.layer < 0) continue;
    LayerAdapter& layer = weights.layers[static_cast<size_t>(group.target.layer)];
    if (group.target.kind == Kind::kExpertGateUp || group.target.kind == Kind::kExpertDown) {
      layer.experts_low_rank.resize(static_cast<size_t>(spec.gate.experts));
    }
    if (group.target.kind == Kind::kKvB) {
      layer.k_up.resize(static_cast<size_t>(spec.attention.heads));
      layer.v_up.resize(static_cast<size_t>(spec.attention.heads));
    }
  }
}

}  // namespace guildhall
