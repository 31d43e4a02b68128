// The scheduler of one block's threads. One per thread of the host that runs kernels.
#pragma once

#include <memory>
#include <vector>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/fiber.h"
#include "tests/cuda_emulation/shared_memory.h"
#include "tests/cuda_emulation/stack_pool.h"
#include "tests/cuda_emulation/warp_meetings.h"

namespace guildhall::emulation {

class BlockRunner;

// What runs in this thread of the host, or null.
extern constinit thread_local BlockRunner* running_block;

// A fiber runs threads of the block one after another: one that never waits needs no stack of its own and no
// switch. Where a thread waits, the next that can go on takes over; when none can, the block hangs, and that
// is reported.
class BlockRunner {
 public:
  static BlockRunner* Running() { return running_block; }

  // `places`: the block's threads in the order in which they begin.
  void Begin(const Launch& launch, std::vector<ThreadPlace> places, Watcher* watcher);
  void Run(uint3 block);
  void End();

  // Of a thread of the block.
  void Meet(unsigned mask, const char* what, void* operand, Combine combine);
  void MeetBlock();

  const BlockState& state() const { return state_; }
  Watcher* watcher() const { return watcher_; }

 private:
  // A fiber's life: threads of this block, then of the next one.
  static void RunThreads();

  // From here on it is the one that runs.
  static void Enter(const ThreadPlace& place) {
    current_fiber = &place.state;
    threadIdx = place.index;
  }
  void EndThread();
  void Wait();           // until somebody has put the fiber among the ready ones
  Fiber* NextReady();    // null: none
  Fiber* NextToBegin();  // null: all have begun
  void Ready(Fiber* fiber) { ready_[ready_end_++ & (ready_.size() - 1)] = fiber; }
  void ReleaseBarrier();
  [[noreturn]] void ReportHang() const;

  StackPool stacks_;
  SharedMemory shared_;
  Watcher* watcher_ = nullptr;
  BlockState state_;
  std::vector<ThreadPlace> places_;
  std::vector<Warp> warps_;
  Fiber host_;
  Fiber* running_ = nullptr;
  std::vector<Fiber*> ready_;  // a ring, larger than a block; a power of two
  size_t ready_begin_ = 0, ready_end_ = 0;
  std::vector<Fiber*> at_barrier_;
  unsigned begun_ = 0, alive_ = 0;
};

}  // namespace guildhall::emulation
