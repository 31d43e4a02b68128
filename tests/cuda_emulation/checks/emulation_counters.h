// What kernels do with memory: facts about their sources, not about a device's speed.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace guildhall::emulation {

struct KernelAccesses {
  uint64_t launches = 0;
  uint64_t read_bytes = 0, written_bytes = 0;  // of global memory, by all threads
  uint64_t warp_accesses = 0;                  // loads and stores of global memory, a warp's as one
  uint64_t sectors = 0;                        // 32-byte pieces that those touch
  uint64_t shared_passes = 0;                  // turns that shared memory takes
  uint64_t bank_conflicts = 0;                 // of them, those that other addresses would spare
};

// Counting takes time and is off at first, unless EMULATED_CUDA_COUNTERS is set: then it is on, and the
// table goes to the standard error when the process ends.
class EmulationCounters {
 public:
  static void Enable(bool on);
  // By kernel, since the last call.
  static std::map<std::string, KernelAccesses> Take();
  // One line for each kernel, with a head.
  static std::string Table(const std::map<std::string, KernelAccesses>& kernels);
};

}  // namespace guildhall::emulation
