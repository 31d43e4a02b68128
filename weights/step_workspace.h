// The memory of steps whose size follows from the adapters that are there.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "kernels/device_memory.h"
#include "weights/byte_budget.h"

namespace guildhall {

// What steps from now on may need.
struct WorkspaceNeed {
  int64_t slots = 0;    // of the largest expert table
  int64_t rows = 0;     // of low-rank results: rows, entries, or rows * heads of a step
  int64_t columns = 0;  // floats of each

  bool operator==(const WorkspaceNeed&) const = default;
};

// Thread-safe but for Begin(). Who publishes something that steps will read reserves first; a step takes what
// was reserved last, so it is never too small. Owned by the model, shared with the weight manager; the back
// end outlives it.
class StepWorkspace {
 public:
  // What a step sees; valid until the next Begin().
  struct View {
    int32_t* group_begin = nullptr;  // (slots + 1)
    float* low_rank = nullptr;       // (rows, columns)
    int64_t slots = 0;
    int64_t columns = 0;
  };

  explicit StepWorkspace(DeviceMemory& memory) : memory_(memory) {}
  ~StepWorkspace();

  // What is there by now is the base's; more is the adapters' and is taken from their budget.
  void ChargeTo(std::shared_ptr<ByteBudget> budget);

  // Bytes that Reserve(need) would take of the budget beyond those that it has; 0 where it would give back.
  uint64_t BytesToReserve(WorkspaceNeed need) const;
  // Makes it as large as `need`, or leaves it up to twice as large. Slots never become fewer: a step may hold
  // tables that are older than what was published last. While a step still uses what was there,
  // both exist; the budget has the newer one. RESOURCE_EXHAUSTED; then nothing has changed.
  absl::Status Reserve(WorkspaceNeed need);
  WorkspaceNeed reserved() const;  // what was asked for last
  uint64_t charged_bytes() const;  // to the budget

  // Engine thread, when no step runs.
  View Begin();
  // Engine thread, when the step is over: what was replaced meanwhile is freed.
  void End();

 private:
  struct Block {
    std::shared_ptr<const DeviceBuffer> memory;
    WorkspaceNeed need;
  };
  static size_t Bytes(const WorkspaceNeed& need);
  static View Divide(const Block& block);
  uint64_t OfAdapters(size_t bytes) const;  // what is beyond the base's own

  DeviceMemory& memory_;
  mutable std::mutex mutex_;
  std::shared_ptr<ByteBudget> budget_;     // null: nobody is charged
  uint64_t base_bytes_ = 0, charged_ = 0;  // of the newest: the base's own, and beyond
  Block newest_;
  Block running_;  // the engine thread's
};

}  // namespace guildhall
