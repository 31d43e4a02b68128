// What a sequence is served with: an immutable combination of adapter versions, each with a factor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/low_rank.h"
#include "kernels/matrix.h"
#include "weights/adapter_weights.h"

namespace guildhall {

// One layer as the forward pass reads it. Empty: the base.
struct LayerAdapterSet {
  std::vector<int32_t> expert_map;     // (experts) logical expert -> slot; empty: identity
  const FfnWeights* shared = nullptr;  // null: the base's
  std::array<std::vector<LowRankTerm>, kProducts> products;
  std::vector<HeadLowRankTerm> k_up, v_up;
  std::vector<FfnLowRankTerm> experts, shared_terms, dense;
};

// Immutable; holding it keeps the adapters' pages mapped and their slots taken. Dropping the last reference
// only hands the adapters to the weight manager's own thread: it never blocks and frees nothing here.
struct AdapterSet {
  struct Member {
    std::string name;
    uint64_t version = 0;
    float scale = 1.0f;
    std::shared_ptr<const AdapterWeights> weights;
  };

  uint64_t id = 0;  // names this combination of versions and factors, and never another one; > 0
  std::vector<Member> members;
  std::vector<LayerAdapterSet> layers;
  std::vector<LowRankTerm> head, embedding;
  int64_t rank_columns = 0;  // workspace floats of one row or entry for one product
};

// Puts the members' changes together, in their order. `experts`: logical experts of a layer. CHECK: no two
// members replace the same expert, or the shared experts of the same layer (compatibility.h).
std::shared_ptr<AdapterSet> MakeAdapterSet(std::vector<AdapterSet::Member> members, int experts);

}  // namespace guildhall
