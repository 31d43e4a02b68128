#include "tests/cuda_emulation/faults.h"

#include <utility>

namespace guildhall::emulation {

void Faults::Plan(const std::string& function, int nth, int error, bool sticky) {
  const std::lock_guard lock(mutex_);
  planned_.emplace(function, Planned{nth, {error, sticky}});
}

void Faults::Heal() {
  const std::lock_guard lock(mutex_);
  planned_.clear();
  stuck_ = remembered_ = 0;
}

Faults::Fault Faults::Find(const std::string& function) {
  Fault found;
  auto [at, end] = planned_.equal_range(function);
  while (at != end) {
    if (--at->second.calls_left > 0) {
      ++at;
      continue;
    }
    found = at->second.fault;
    at = planned_.erase(at);
  }
  return found;
}

int Faults::Count(const char* function) {
  const std::lock_guard lock(mutex_);
  if (planned_.empty()) return 0;
  const Fault fault = Find(function);
  if (fault.sticky) stuck_ = fault.error;
  return fault.error;
}

Faults::Fault Faults::CountExecuted(const char* what) {
  const std::lock_guard lock(mutex_);
  return planned_.empty() ? Fault{} : Find(what);
}

int Faults::stuck() const {
  const std::lock_guard lock(mutex_);
  return stuck_;
}

void Faults::Stick(int error) {
  const std::lock_guard lock(mutex_);
  stuck_ = error;
}

void Faults::Remember(int error, bool sticky) {
  const std::lock_guard lock(mutex_);
  if (sticky) stuck_ = error;
  if (remembered_ == 0) remembered_ = error;
}

int Faults::TakeRemembered() {
  const std::lock_guard lock(mutex_);
  return std::exchange(remembered_, 0);
}

}  // namespace guildhall::emulation
