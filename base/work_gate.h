// Bounds how many do something at once; the others wait their turn.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>

#include "absl/status/statusor.h"
#include "base/work_limit.h"

namespace guildhall {

// First come, first served. Thread-safe; outlives its passes.
class WorkGate {
 public:
  // The right to go on; its end lets the next one in.
  class Pass {
   public:
    Pass() = default;
    explicit Pass(WorkGate& gate) : gate_(&gate) {}
    Pass(Pass&& other) noexcept;
    Pass& operator=(Pass&& other) noexcept;
    ~Pass() { Leave(); }

    void Leave();

   private:
    WorkGate* gate_ = nullptr;  // null: holds nothing
  };

  explicit WorkGate(int64_t places) : free_(places) {}

  // Waits for a place. CANCELLED or DEADLINE_EXCEEDED, within 50 ms, where `limit` ends the wait.
  absl::StatusOr<Pass> Enter(const WorkLimit& limit);
  int64_t waiting() const;

 private:
  struct Waiter {
    std::condition_variable turn;
    bool let_in = false;
  };
  void Free();

  mutable std::mutex mutex_;
  int64_t free_;
  std::list<Waiter> queue_;  // the first is the next
};

}  // namespace guildhall
