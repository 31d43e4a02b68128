// Grouping: entries ordered by the slot that serves them, ascending within a slot. No sum and no counter that
// threads share: the result is that of one order, whatever the launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/context.h"

namespace guildhall::cuda {

struct SlotGroups {
  const int32_t* slot;  // (entries) -1: in no group
  int64_t entries, slots;
  int32_t* begin;  // (slots + 1) out
  int32_t* entry;  // (entries) out
};

// A thread for each of the slots first, first + step, ...: a slot begins where all lower ones have ended.
__device__ inline void GroupSlots(const SlotGroups& groups, int64_t first, int64_t step) {
  for (int64_t s = first; s < groups.slots; s += step) {
    const auto mine = static_cast<uint32_t>(s);
    int32_t place = 0;
    for (int64_t i = 0; i < groups.entries; ++i) {
      place += static_cast<uint32_t>(groups.slot[i]) < mine ? 1 : 0;  // -1 is the greatest
    }
    groups.begin[s] = place;
    for (int64_t i = 0; i < groups.entries; ++i) {
      if (static_cast<uint32_t>(groups.slot[i]) == mine) groups.entry[place++] = static_cast<int32_t>(i);
    }
    if (s == groups.slots - 1) groups.begin[groups.slots] = place;
  }
}

// The same in launches of its own, for any number of entries up to the scratch memory's.
cudaError_t LaunchGroupBySlot(const SlotGroups& groups, const Context& context);

}  // namespace guildhall::cuda
