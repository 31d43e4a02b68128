#include "weights/adapter_set.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

using Member = AdapterSet::Member;

bool HasGain(const FfnLowRank& change) {
  return change.gate_up.gain != nullptr || change.down.gain != nullptr;
}

bool HasGain(const LayerAdapter& layer) {
  const auto of_product = [](const LowRank& change) { return change.gain != nullptr; };
  return std::any_of(layer.products.begin(), layer.products.end(), of_product) ||
         std::any_of(layer.k_up.begin(), layer.k_up.end(), of_product) ||
         std::any_of(layer.v_up.begin(), layer.v_up.end(), of_product) ||
         std::any_of(layer.experts_low_rank.begin(), layer.experts_low_rank.end(),
                     [](const FfnLowRank& change) { return HasGain(change); }) ||
         HasGain(layer.shared_low_rank) || HasGain(layer.dense_low_rank);
}

bool HasGain(const AdapterWeights& weights) {
  return weights.head.gain != nullptr || weights.embedding.gain != nullptr ||
         std::any_of(weights.layers.begin(), weights.layers.end(),
                     [](const LayerAdapter& layer) { return HasGain(layer); });
}

bool Replaces(const AdapterWeights& weights) {
  return std::any_of(weights.layers.begin(), weights.layers.end(), [](const LayerAdapter& layer) {
    return !layer.experts.empty() || !layer.shared.gate_up.empty();
  });
}

absl::Status CheckFactors(const std::vector<Member>& members) {
  for (size_t i = 0; i < members.size(); ++i) {
    const Member& member = members[i];
    for (size_t j = 0; j < i; ++j) {
      if (members[j].name != member.name) continue;
      return absl::InvalidArgumentError(
          StrCat("adapter '", member.name, "' is named twice: name it once, with one factor"));
    }
    if (!std::isfinite(member.scale)) {
      return absl::InvalidArgumentError(
          StrCat("adapter '", member.name, "': the factor is not a finite number"));
    }
    if (member.scale == 1.0f) continue;
    if (HasGain(*member.weights)) {
      return absl::InvalidArgumentError(StrCat("adapter '", member.name,
                                               "' is DoRA, which is served with the factor 1 alone; found ",
                                               member.scale));
    }
    if (Replaces(*member.weights)) {
      return absl::InvalidArgumentError(StrCat("adapter '", member.name,
                                               "' replaces experts, which only has a meaning with the factor"
                                               " 1; found ",
                                               member.scale));
    }
  }
  return absl::OkStatus();
}

absl::Status Clash(const Member& a, const Member& b, const std::string& what, size_t layer) {
  return absl::InvalidArgumentError(StrCat("adapters '", a.name, "' and '", b.name,
                                           "' cannot be combined: ", what, " of layer ", layer,
                                           "; use one of them, or another combination"));
}

// Who replaces what in one layer.
struct Owners {
  std::vector<const Member*> expert;  // (experts)
  const Member* shared = nullptr;
};

absl::Status CheckGains(const std::vector<Member>& members, size_t layer, const Owners& owners) {
  for (const Member& member : members) {
    const LayerAdapter& part = member.weights->layers[layer];
    for (size_t e = 0; e < part.experts_low_rank.size(); ++e) {
      const Member* owner = owners.expert[e];
      if (owner == nullptr || owner == &member || !HasGain(part.experts_low_rank[e])) continue;
      return Clash(*owner, member, StrCat("the first replaces what the second scales (DoRA), expert ", e),
                   layer);
    }
    if (owners.shared != nullptr && owners.shared != &member && HasGain(part.shared_low_rank)) {
      return Clash(*owners.shared, member,
                   "the first replaces what the second scales (DoRA), the shared experts", layer);
    }
  }
  return absl::OkStatus();
}

bool Scales(const LowRank& change) {
  return change.gain != nullptr || change.in_gain != nullptr;
}

// Whether one of the two scales outputs (DoRA) that the other changes too: the result would depend on their
// order, and no order of it is defined.
bool Rescales(const LowRank& a, const LowRank& b) {
  if (!Scales(a) && !Scales(b)) return false;
  for (const LowRankPart& one : a.parts) {
    for (const LowRankPart& other : b.parts) {
      if (one.module == other.module && one.out_begin < other.out_begin + other.out &&
          other.out_begin < one.out_begin + one.out)
        return true;
    }
  }
  return false;
}

bool Rescales(const FfnLowRank& a, const FfnLowRank& b) {
  return Rescales(a.gate_up, b.gate_up) || Rescales(a.down, b.down);
}

// What both change of a layer while one of them scales it; empty: nothing.
std::string Rescaled(const LayerAdapter& a, const LayerAdapter& b) {
  for (size_t p = 0; p < a.products.size(); ++p) {
    if (Rescales(a.products[p], b.products[p])) return "the same attention or shared expert gate module";
  }
  if (!a.v_up.empty() && !b.v_up.empty() && Rescales(a.v_up[0], b.v_up[0])) return "kv_b_proj";
  for (size_t e = 0; e < std::min(a.experts_low_rank.size(), b.experts_low_rank.size()); ++e) {
    if (Rescales(a.experts_low_rank[e], b.experts_low_rank[e])) return StrCat("expert ", e);
  }
  if (Rescales(a.shared_low_rank, b.shared_low_rank)) return "the shared experts";
  return Rescales(a.dense_low_rank, b.dense_low_rank) ? "the feed-forward network" : "";
}

absl::Status CheckScaled(const Member& a, const Member& b) {
  for (size_t layer = 0; layer < a.weights->layers.size(); ++layer) {
    const std::string what = Rescaled(a.weights->layers[layer], b.weights->layers[layer]);
    if (!what.empty())
      return Clash(a, b, StrCat("both change ", what, ", and one of them scales it (DoRA),"), layer);
  }
  for (const auto& [one, other, what] :
       {std::tuple(&a.weights->head, &b.weights->head, "the head"),
        std::tuple(&a.weights->embedding, &b.weights->embedding, "the embedding")}) {
    if (!Rescales(*one, *other)) continue;
    return absl::InvalidArgumentError(StrCat("adapters '", a.name, "' and '", b.name,
                                             "' cannot be combined: both change ", what,
                                             ", and one of them scales it (DoRA); use one of them"));
  }
  return absl::OkStatus();
}

absl::Status AddReplaced(const std::vector<Member>& members, int experts, size_t layer,
                         LayerAdapterSet& set) {
  Owners owners;
  owners.expert.resize(static_cast<size_t>(experts));
  for (const Member& member : members) {
    const LayerAdapter& part = member.weights->layers[layer];
    GH_CHECK_EQ(part.experts.size(), part.slots.size());
    if (!part.experts.empty() && set.expert_map.empty()) {
      set.expert_map.resize(static_cast<size_t>(experts));
      std::iota(set.expert_map.begin(), set.expert_map.end(), 0);
    }
    for (size_t i = 0; i < part.experts.size(); ++i) {
      const auto e = static_cast<size_t>(part.experts[i]);
      GH_CHECK_LT(e, owners.expert.size());
      if (owners.expert[e] != nullptr) {
        return Clash(*owners.expert[e], member, StrCat("both replace expert ", e), layer);
      }
      owners.expert[e] = &member;
      set.expert_map[e] = part.slots[i];
    }
    if (part.shared.gate_up.empty()) continue;
    if (owners.shared != nullptr) {
      return Clash(*owners.shared, member, "both replace the shared experts", layer);
    }
    owners.shared = &member;
    set.shared = &part.shared;
  }
  return CheckGains(members, layer, owners);
}

void AddLowRank(const Member& member, const LayerAdapter& part, LayerAdapterSet& set) {
  for (size_t p = 0; p < part.products.size(); ++p) {
    if (!part.products[p].empty()) set.products[p].push_back({&part.products[p], member.scale});
  }
  if (!part.k_up.empty()) set.k_up.push_back({part.k_up.data(), member.scale});
  if (!part.v_up.empty()) set.v_up.push_back({part.v_up.data(), member.scale});
  if (!part.experts_low_rank.empty()) set.experts.push_back({part.experts_low_rank.data(), member.scale});
  if (!part.shared_low_rank.empty()) set.shared_terms.push_back({&part.shared_low_rank, member.scale});
  if (!part.dense_low_rank.empty()) set.dense.push_back({&part.dense_low_rank, member.scale});
}

}  // namespace

absl::StatusOr<std::shared_ptr<AdapterSet>> MakeAdapterSet(std::vector<AdapterSet::Member> members,
                                                           int experts) {
  GH_CHECK(!members.empty());
  GH_RETURN_IF_ERROR(CheckFactors(members));
  for (size_t i = 1; i < members.size(); ++i) {
    for (size_t j = 0; j < i; ++j) GH_RETURN_IF_ERROR(CheckScaled(members[j], members[i]));
  }
  auto set = std::make_shared<AdapterSet>();
  set->members = std::move(members);
  set->layers.resize(set->members[0].weights->layers.size());
  for (size_t layer = 0; layer < set->layers.size(); ++layer) {
    GH_RETURN_IF_ERROR(AddReplaced(set->members, experts, layer, set->layers[layer]));
  }
  for (const Member& member : set->members) {
    const AdapterWeights& weights = *member.weights;
    GH_CHECK_EQ(weights.layers.size(), set->layers.size());
    for (size_t layer = 0; layer < set->layers.size(); ++layer) {
      AddLowRank(member, weights.layers[layer], set->layers[layer]);
    }
    if (!weights.head.empty()) set->head.push_back({&weights.head, member.scale});
    if (!weights.embedding.empty()) set->embedding.push_back({&weights.embedding, member.scale});
    set->rank_columns += weights.rank_columns;
  }
  return set;
}

}  // namespace guildhall
