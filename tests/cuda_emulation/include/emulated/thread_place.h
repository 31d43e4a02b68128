// Which thread of a block it is.
#pragma once

#include "emulated/vector_types.h"

namespace guildhall::emulation {

struct FiberState {
  unsigned thread = 0;  // of the block, x fastest
  unsigned warp = 0;
  unsigned lane = 0;
};

struct ThreadPlace {
  FiberState state;
  uint3 index = {};
};

// The one that runs in this thread of the host; null outside of kernels.
extern constinit thread_local const FiberState* current_fiber;

}  // namespace guildhall::emulation
