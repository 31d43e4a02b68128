// Runs the blocks of a launch: threads are fibers that give way only where they wait for others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "emulated/launch.h"
#include "emulated/thread_place.h"
#include "emulated/vector_types.h"

namespace guildhall::emulation {

// In which order blocks, and the threads of a block, begin and go on. No result may depend on it.
enum class Order { kForward, kBackward, kShuffled };

struct Launch {
  const void* kernel = nullptr;
  std::string name;  // the kernel's
  dim3 grid, block;
  size_t shared_bytes = 0;
  std::unique_ptr<KernelCall> call;
};

// What the host's thread executes just now.
struct BlockState {
  const Launch* launch = nullptr;
  uint3 index = {};
  std::span<std::byte> shared;  // the block's dynamic shared memory, 1024-byte aligned
};

// Null outside of kernels.
inline const FiberState* CurrentFiber() {
  return current_fiber;
}
const BlockState* CurrentBlock();
// The kernel that runs in this thread; outside of kernels the last one that ran anywhere, or "none".
std::string CurrentKernelName();

// What a thread does with memory. A copy that is issued claims its destination, and arrives later.
enum class Touch { kRead, kWrite, kAtomic, kCopyIssued };
struct Touched {
  const void* address;
  size_t bytes;
  Touch kind;
  const void* pc;  // where the call that tells it returns to
};

// Told of what threads do; for checks. Calls come from the host thread that runs the block.
class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void KernelBegins(const Launch&) {}
  virtual void KernelEnds(const Launch&) {}
  virtual void BlockBegins(const BlockState&) {}  // its shared memory is fresh
  virtual void BlockEnds(const BlockState&) {}
  virtual void BlockMet() {}  // all threads, at a barrier
  // At an instruction of a warp; of these, only "__syncwarp" orders what lanes do with memory.
  virtual void LanesMet(unsigned /*warp*/, unsigned /*mask*/, std::string_view /*what*/) {}
  virtual void ThreadEnds(const FiberState&) {}
  // The running thread touches memory.
  virtual void Touches(const Touched&) {}
  virtual void Fences() {}                                               // __threadfence
  virtual void CopyArrives(const void* /*shared*/, size_t /*bytes*/) {}  // at its wait
};
// Null: nobody. Not while kernels run.
void Watch(Watcher* watcher);
// Who watches the kernel that runs in this thread; null outside of kernels.
Watcher* CurrentWatcher();

// All blocks, one after another.
void RunLaunch(const Launch& launch, Order order);

}  // namespace guildhall::emulation
