#include "weights/adapter_set.h"

#include <numeric>
#include <utility>

#include "base/check.h"

namespace guildhall {
namespace {

using Member = AdapterSet::Member;

// Who may stand beside whom was asked before (compatibility.h): no part has two replacements.
void AddReplaced(const LayerAdapter& part, size_t experts, LayerAdapterSet& set) {
  GH_CHECK_EQ(part.experts.size(), part.slots.size());
  if (!part.experts.empty() && set.expert_map.empty()) {
    set.expert_map.resize(experts);
    std::iota(set.expert_map.begin(), set.expert_map.end(), 0);
  }
  for (size_t i = 0; i < part.experts.size(); ++i) {
    const int32_t expert = part.experts[i];
    int32_t& slot = set.expert_map.at(static_cast<size_t>(expert));
    GH_CHECK_EQ(slot, expert);
    slot = part.slots[i];
  }
  if (part.shared.gate_up.empty()) return;
  GH_CHECK(set.shared == nullptr);
  set.shared = &part.shared;
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

std::shared_ptr<AdapterSet> MakeAdapterSet(std::vector<AdapterSet::Member> members, int experts) {
  GH_CHECK(!members.empty());
  auto set = std::make_shared<AdapterSet>();
  set->members = std::move(members);
  set->layers.resize(set->members[0].weights->layers.size());
  for (const Member& member : set->members) {
    const AdapterWeights& weights = *member.weights;
    GH_CHECK_EQ(weights.layers.size(), set->layers.size());
    for (size_t layer = 0; layer < set->layers.size(); ++layer) {
      AddReplaced(weights.layers[layer], static_cast<size_t>(experts), set->layers[layer]);
      AddLowRank(member, weights.layers[layer], set->layers[layer]);
    }
    if (!weights.head.empty()) set->head.push_back({&weights.head, member.scale});
    if (!weights.embedding.empty()) set->embedding.push_back({&weights.embedding, member.scale});
    set->rank_columns += weights.rank_columns;
  }
  return set;
}

}  // namespace guildhall
