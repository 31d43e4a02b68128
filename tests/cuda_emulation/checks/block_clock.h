// What happened before what, in one block.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace guildhall::emulation {

// The clock goes on at barriers alone. Blocks run one after another, so that a time also says whose it is:
// at least launch_begin() is of this launch, at least block_begin() of this block.
class BlockClock {
 public:
  void BeginLaunch(unsigned threads);
  void BeginBlock();
  void BlockBarrier() { barrier_ = ++now_; }
  // At a __syncwarp of those lanes.
  void WarpBarrier(unsigned warp, unsigned mask);

  // The thread's __threadfence, and its atomic on global memory. With both, a block hands what it did to a
  // later one: fence, barrier, atomic there; atomic, barrier, fence here.
  void Fence(unsigned thread) { fences_[thread] = now_; }
  void Atomic(unsigned thread);

  uint32_t now() const { return now_; }
  uint32_t launch_begin() const { return launch_begin_; }
  uint32_t block_begin() const { return block_begin_; }

  // Whether what `thread` of this block did at `time` lies behind a barrier for thread `self`.
  bool Before(uint32_t time, unsigned thread, unsigned self) const {
    if (thread == self || time < barrier_) return true;
    return thread / 32 == self / 32 && time < LanesMet(thread, self);
  }
  // Whether what an earlier block of the launch did at `time` was handed to thread `self`.
  bool HandedOver(uint32_t time, unsigned self) const;

 private:
  // What a block did between `begin` and `until` it handed to later ones.
  struct Handing {
    uint32_t begin, until;
  };
  struct WarpTimes {
    uint32_t all = 0;  // when all lanes met last
    std::array<std::array<uint32_t, 32>, 32> pair = {};
  };
  uint32_t LanesMet(unsigned thread, unsigned self) const;

  uint32_t now_ = 0, launch_begin_ = 0, block_begin_ = 0, barrier_ = 0;
  std::vector<WarpTimes> warps_;
  std::vector<uint32_t> fences_;  // by thread of this block
  std::vector<Handing> handed_;   // by block of this launch, ascending
  uint32_t atomic_ = 0;           // the block's last one
  unsigned atomic_thread_ = 0;
};

}  // namespace guildhall::emulation
