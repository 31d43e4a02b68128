// How kernels use memory, by what their warps do together.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulation/checks/emulation_counters.h"

namespace guildhall::emulation {

// Lanes of a warp access memory together when they are at the same place in the code for the same time since
// the last barrier.
class AccessCounter {
 public:
  void BeginBlock(unsigned threads);
  void Global(unsigned thread, uintptr_t address, size_t bytes, bool write, uint32_t place);
  void Shared(unsigned thread, uintptr_t address, size_t bytes, uint32_t place);
  void Barrier(unsigned warp) { CloseWarp(warps_[warp]); }
  void BlockBarrier();

  // Since the last call; at the end of a kernel.
  KernelAccesses Take();

 private:
  // What lanes did at one place for the n-th time.
  struct Access {
    size_t bytes = 0;                  // of one lane
    std::vector<uintptr_t> addresses;  // of lanes
  };
  struct Place {
    bool shared = false;
    std::array<uint32_t, 32> times = {};
    std::vector<Access> accesses;
  };
  struct Warp {
    std::unordered_map<uint32_t, Place> places;
  };
  void Add(unsigned thread, uintptr_t address, size_t bytes, uint32_t place, bool shared);
  void CloseWarp(Warp& warp);

  std::vector<Warp> warps_;
  KernelAccesses counts_;
};

}  // namespace guildhall::emulation
