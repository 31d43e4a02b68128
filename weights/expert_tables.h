// The published state of the expert slots: what a step reads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/device_memory.h"
#include "kernels/matrix.h"

namespace guildhall {

// Immutable. One snapshot serves a whole step; every set that a running sequence holds has its slots in the
// newest one.
struct ExpertTables {
  // Slot -> weights: the base's first; empty entries are free slots.
  struct Table {
    std::vector<FfnWeights> slots;       // the host's copy; addresses of weights are the device's
    const FfnWeights* device = nullptr;  // (slots)

    int64_t size() const { return static_cast<int64_t>(slots.size()); }
  };
  std::vector<Table> tables;  // by number of the expert map (product_numbers.h): routed, shared, routed, ...
  int64_t max_slots = 0;      // of a table
  DeviceBuffer memory;        // of the devices' tables
};

// RESOURCE_EXHAUSTED.
absl::StatusOr<std::shared_ptr<const ExpertTables>> MakeExpertTables(
    std::vector<std::vector<FfnWeights>> tables, DeviceMemory& memory);

}  // namespace guildhall
