// The published state of the expert slots: what a step reads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "kernels/matrix.h"

namespace guildhall {

// Immutable but for the workspaces, which belong to the engine thread. One snapshot serves a whole step;
// every set that a running sequence holds has its slots in the newest one.
struct ExpertTables {
  struct Layer {
    std::vector<FfnWeights> slots;  // slot -> weights: the base's experts first; empty entries are free slots
  };
  std::vector<Layer> layers;  // (layers); dense layers have no slots
  int64_t max_slots = 0;      // of a layer

  int32_t* group_begin = nullptr;       // (max_slots + 1) for RouteArgs
  float* low_rank_workspace = nullptr;  // (max entries; rows * heads where kv_b is changed; rank_columns)
  int64_t rank_columns = 0;             // of the widest live adapter set
  std::shared_ptr<Buffer> workspace;    // owns both; snapshots may share it
};

}  // namespace guildhall
