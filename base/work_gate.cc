#include "base/work_gate.h"

#include <chrono>
#include <utility>

namespace guildhall {
namespace {

// Who waits has nobody to wake it when its client leaves, so it looks.
constexpr std::chrono::milliseconds kLook(30);

}  // namespace

WorkGate::Pass::Pass(Pass&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}

WorkGate::Pass& WorkGate::Pass::operator=(Pass&& other) noexcept {
  if (this != &other) {
    Leave();
    gate_ = std::exchange(other.gate_, nullptr);
  }
  return *this;
}

void WorkGate::Pass::Leave() {
  if (WorkGate* gate = std::exchange(gate_, nullptr)) gate->Free();
}

absl::StatusOr<WorkGate::Pass> WorkGate::Enter(const WorkLimit& limit) {
  std::unique_lock lock(mutex_);
  if (free_ > 0) {
    --free_;
    return Pass(*this);
  }
  const auto self = queue_.emplace(queue_.end());
  absl::Status status = limit.Check();
  while (status.ok() && !self->let_in) {
    self->turn.wait_for(lock, kLook, [&] { return self->let_in; });
    status = limit.Check();
  }
  const bool let_in = self->let_in;
  queue_.erase(self);
  lock.unlock();
  if (!let_in) return status;
  Pass pass(*this);
  if (!status.ok()) return status;
  return pass;
}

void WorkGate::Free() {
  const std::lock_guard lock(mutex_);
  for (Waiter& waiter : queue_) {
    if (waiter.let_in) continue;
    waiter.let_in = true;  // the place goes from hand to hand: who comes later cannot take it
    waiter.turn.notify_one();
    return;
  }
  ++free_;
}

int64_t WorkGate::waiting() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

}  // namespace guildhall
