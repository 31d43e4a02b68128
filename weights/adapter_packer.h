// Reads an adapter's tensors and packs them into their places.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "weights/adapter_plan.h"

namespace guildhall {

struct PackControl {
  int threads = 1;                                              // of low priority, started for this call
  std::function<bool()> cancelled;                              // may be empty; called under a lock
  std::function<void(uint64_t done, uint64_t total)> progress;  // may be empty; packed bytes; under a lock
};

// Runs the plan's jobs into `weights`, a copy of plan.weights, and asks at the end whether the files are the
// same still. The first error wins and stops the rest; CANCELLED.
absl::Status PackAdapter(const AdapterPlan& plan, const AdapterSource& source, const PackControl& control,
                         AdapterWeights& weights);

}  // namespace guildhall
