// Counts of all kernels of the process.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "tests/cuda_emulation/checks/emulation_counters.h"

namespace guildhall::emulation {

// Thread-safe.
class CounterTable {
 public:
  static CounterTable& Get();

  bool enabled() const { return enabled_; }
  void Enable(bool on) { enabled_ = on; }
  void Add(const std::string& kernel, const KernelAccesses& accesses);
  std::map<std::string, KernelAccesses> Take();

 private:
  std::atomic<bool> enabled_ = false;
  std::mutex mutex_;
  std::map<std::string, KernelAccesses> kernels_;
};

}  // namespace guildhall::emulation
