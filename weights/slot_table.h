// Which expert slot belongs to whom, and the snapshots of it that steps read.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/matrix.h"
#include "weights/adapter_weights.h"
#include "weights/expert_tables.h"

namespace guildhall {

// Slots are taken lowest first, and a table ends with its last taken slot. Not thread-safe.
class SlotTable {
 public:
  explicit SlotTable(const std::vector<std::span<const FfnWeights>>& base_experts);

  // Gives every replaced expert a slot; the slots stay empty until Put.
  void Take(AdapterWeights& weights);
  void Put(const AdapterWeights& weights);
  void Release(const AdapterWeights& weights);

  int64_t max_slots() const;
  std::vector<ExpertTables::Layer> Layers() const;

 private:
  struct Layer {
    std::vector<FfnWeights> slots;
    std::set<int32_t> holes;  // free slots below the last taken one
  };
  std::vector<Layer> layers_;
};

// What a snapshot's workspace must hold.
struct WorkspaceNeed {
  int64_t rows = 0;     // of low-rank results: rows or entries of a step
  int64_t columns = 0;  // floats of each
};

// A snapshot of `slots`. The workspace of `previous` (may be null) serves on where it is large enough and not
// far too large: only the engine thread uses it, one step at a time. RESOURCE_EXHAUSTED.
absl::StatusOr<std::shared_ptr<const ExpertTables>> MakeExpertTables(const SlotTable& slots,
                                                                     const WorkspaceNeed& need,
                                                                     const ExpertTables* previous);

}  // namespace guildhall
