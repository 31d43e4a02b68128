// Work on many weights, on a few threads.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "model/weight_plan.h"

namespace guildhall {

using WeightJob = std::function<absl::Status(const WeightItem& item, WeightScratch& scratch)>;

// Runs `job` once for each item, on the allowed CPUs; each thread has scratch of its own. The first error
// wins and stops the rest. `progress` (may be empty) is called under a lock with the bytes done and in all.
absl::Status ForEachWeight(const WeightPlan& plan, const WeightJob& job,
                           const std::function<void(size_t, size_t)>& progress);

}  // namespace guildhall
