// Grouping: entries ordered by the slot that serves them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"

namespace guildhall {

// Counting sort, stable, so ascending within a slot; entries with slot -1 are in no group. Slot s owns
// group_entry[group_begin[s] .. group_begin[s + 1]).
inline void GroupBySlot(const int32_t* slot, int64_t entries, int64_t slots, int32_t* group_begin,
                        int32_t* group_entry) {
  std::fill(group_begin, group_begin + slots + 1, 0);
  for (int64_t i = 0; i < entries; ++i) {
    GH_CHECK_GE(slot[i], -1);
    GH_CHECK_LT(slot[i], slots);
    if (slot[i] >= 0) ++group_begin[slot[i] + 1];
  }
  for (int64_t s = 0; s < slots; ++s) group_begin[s + 1] += group_begin[s];
  // Each begin moves on to its slot's end, which is the next one's begin: shift them back by one.
  for (int64_t i = 0; i < entries; ++i) {
    if (slot[i] >= 0) group_entry[group_begin[slot[i]]++] = static_cast<int32_t>(i);
  }
  for (int64_t s = slots; s > 0; --s) group_begin[s] = group_begin[s - 1];
  group_begin[0] = 0;
}

}  // namespace guildhall
