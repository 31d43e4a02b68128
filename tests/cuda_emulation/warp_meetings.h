// Where the lanes of one warp wait for each other.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "emulated/warp.h"
#include "tests/cuda_emulation/fiber.h"

namespace guildhall::emulation {

// Lanes that meet: all of `mask`, at one instruction.
struct Meeting {
  unsigned mask = 0;
  unsigned arrived = 0;
  const char* what = nullptr;
  std::array<void*, 32> operands;  // null outside of the mask
  std::array<Fiber*, 32> waiting;  // in the order in which they came
  unsigned waiting_count = 0;
};

struct Warp {
  unsigned lanes = 0;  // those that there are
  unsigned ended = 0;
  std::vector<Meeting> meetings;  // the first `open` are
  unsigned open = 0;

  // The open meeting of that mask; a new one where none is.
  Meeting& Find(unsigned mask, const char* what) {
    for (unsigned i = 0; i < open; ++i) {
      if (meetings[i].mask == mask) return meetings[i];
    }
    if (open == meetings.size()) meetings.emplace_back();
    Meeting& meeting = meetings[open++];
    meeting.mask = mask;
    meeting.arrived = 0;
    meeting.what = what;
    meeting.operands.fill(nullptr);
    meeting.waiting_count = 0;
    return meeting;
  }
  void Close(Meeting& meeting) {
    Meeting& last = meetings[--open];
    if (&meeting != &last) meeting = last;
  }
};

}  // namespace guildhall::emulation
