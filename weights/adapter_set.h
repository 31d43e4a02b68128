// What a sequence is served with: an immutable combination of adapter versions, each with a factor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device_memory.h"
#include "kernels/low_rank.h"
#include "weights/adapter_source.h"
#include "weights/adapter_weights.h"

namespace guildhall {

// One layer. Empty: the base.
struct LayerAdapterSet {
  std::vector<int32_t> expert_map;  // (experts) logical expert -> slot; empty: identity
  int32_t shared_slot = -1;         // of the table of shared experts; -1: the base's
};

// Immutable; holding it keeps the adapters' pages mapped and their slots taken. Dropping the last reference
// only hands the adapters to the weight manager's own thread: it never blocks and frees nothing here.
struct AdapterSet {
  struct Member {
    std::string name;
    uint64_t version = 0;
    float scale = 1.0f;
    std::shared_ptr<const AdapterWeights> weights;
    std::shared_ptr<const AdapterCompanion> companion = nullptr;  // of this version
  };

  uint64_t id = 0;  // names this combination of versions and factors, and never another one; > 0
  std::vector<Member> members;
  std::vector<LayerAdapterSet> layers;
  std::vector<std::vector<LowRankTerm>> products;  // (product numbers) the terms of each, by member
  int64_t rank_columns = 0;                        // workspace floats of one row or entry for one product

  // The same as ops read it, in memory of the set's own.
  SetTable table;
  DeviceBuffer memory;

  bool Changes(int32_t product) const { return !products[static_cast<size_t>(product)].empty(); }
};

// Makes a set's `table` and `memory` of its `layers` and `products`. RESOURCE_EXHAUSTED.
absl::Status MakeSetTable(AdapterSet& set, DeviceMemory& memory);

// Puts the members' changes together, in their order. `experts`: logical experts of a layer. CHECK: no two
// members replace the same expert, or the shared experts of the same layer (compatibility.h).
// RESOURCE_EXHAUSTED.
absl::StatusOr<std::shared_ptr<AdapterSet>> MakeAdapterSet(std::vector<AdapterSet::Member> members,
                                                           int experts, DeviceMemory& memory);

}  // namespace guildhall
