// Bounds how many prompts are rendered and encoded at once.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "base/work_gate.h"

namespace guildhall {

// Short texts pass as many at a time as there are CPUs; long ones, which may take a second and a hundred
// times their size of memory, one by one and without keeping the short ones waiting. First come, first served
// within both. Thread-safe; outlives its passes.
class TextGate {
 public:
  static constexpr size_t kLongBytes = size_t{64} << 10;

  TextGate();
  // Waits for a place for a text of that size. CANCELLED or DEADLINE_EXCEEDED, within 50 ms, where `limit`
  // ends the wait.
  absl::StatusOr<WorkGate::Pass> Enter(size_t bytes, const WorkLimit& limit);

 private:
  WorkGate short_;
  WorkGate long_{1};
};

}  // namespace guildhall
