#include "tests/cuda_emulation/checks/block_clock.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace guildhall::emulation {

void BlockClock::BeginLaunch(unsigned threads) {
  GH_CHECK_LT(now_, uint32_t{1} << 31);  // it may go round in no launch
  launch_begin_ = ++now_;
  warps_.resize(std::max(warps_.size(), size_t{(threads + 31) / 32}));
  fences_.assign(threads, 0);
  handed_.clear();
}

void BlockClock::BeginBlock() {
  barrier_ = block_begin_ = ++now_;
  std::fill(fences_.begin(), fences_.end(), 0);
  handed_.push_back({now_, 0});
}

void BlockClock::Atomic(unsigned thread) {
  atomic_ = now_;
  atomic_thread_ = thread;
  if (fences_[thread] < block_begin_) return;
  uint32_t until = now_;
  for (unsigned other = 0; other < fences_.size(); ++other) {
    const bool before = other == thread || fences_[other] < barrier_;
    until = std::min(until, before ? fences_[other] : 0);
  }
  handed_.back().until = std::max(handed_.back().until, until);
}

bool BlockClock::HandedOver(uint32_t time, unsigned self) const {
  if (atomic_ < block_begin_ || !Before(atomic_, atomic_thread_, self) || fences_[self] < atomic_)
    return false;
  const auto after = std::upper_bound(handed_.begin(), handed_.end(), time,
                                      [](uint32_t at, const Handing& handing) { return at < handing.begin; });
  return after != handed_.begin() && time <= std::prev(after)->until;
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
