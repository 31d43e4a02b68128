#include "tests/cuda_emulation/checks/block_clock.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall::emulation {

void BlockClock::BeginLaunch(unsigned threads) {
  GH_CHECK_LT(now_, uint32_t{1} << 31);  // it may go round in no launch
  launch_begin_ = ++now_;
  warps_.resize(std::max(warps_.size(), size_t{(threads + 31) / 32}));
}

void BlockClock::WarpBarrier(unsigned warp, unsigned mask) {
  ++now_;
  if (mask == ~0u) {
    warps_[warp].all = now_;
    return;
  }
  for (unsigned i = 0; i < 32; ++i) {
    for (unsigned j = 0; j < 32; ++j) {
      if ((mask >> i & mask >> j & 1u) != 0) warps_[warp].pair[i][j] = now_;
    }
  }
}

uint32_t BlockClock::LanesMet(unsigned thread, unsigned self) const {
  const WarpTimes& times = warps_[self / 32];
  return std::max(times.all, times.pair[thread % 32][self % 32]);
}

}  // namespace guildhall::emulation
