// What a kernel's run is told to. The checking mode implements it; without one nothing is told.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace guildhall::emulation {

enum class AccessKind { kRead, kWrite, kAtomic };

// A launch that is about to run.
struct CheckedLaunch {
  const char* kernel;  // its name, demangled
  dim3 grid, block;
  std::byte* shared;  // the block's shared memory, the same for all blocks of the launch
  size_t shared_bytes;
};

// Calls come from the thread that executes kernels, one launch at a time, one block after another. Threads
// are numbered in the block: x fastest; a warp is 32 neighbours.
class Checker {
 public:
  virtual ~Checker() = default;

  virtual void BeginLaunch(const CheckedLaunch& launch) = 0;
  virtual void EndLaunch() = 0;
  virtual void BeginBlock(dim3 block) = 0;
  virtual void EndBlock() = 0;
  // All threads of the block are at a barrier.
  virtual void BlockBarrier() = 0;
  // The lanes of `mask` are at a __syncwarp.
  virtual void WarpBarrier(int warp, uint32_t mask) = 0;

  // The running thread touches memory. Plain loads and stores come here by themselves; what the emulation
  // does in a kernel's name (atomics, matrix loads, copies) says so.
  virtual void Access(int thread, const void* address, size_t bytes, AccessKind kind, const void* pc) = 0;
  // An asynchronous copy of the thread is issued: `shared` may be touched by nobody until it is complete.
  virtual void CopyIssued(int thread, const void* shared, size_t bytes) = 0;
  virtual void CopyComplete(int thread, const void* shared, size_t bytes) = 0;
};

// Null: nothing is checked. Set once, before the first launch.
Checker* GetChecker();
void SetChecker(Checker* checker);

}  // namespace guildhall::emulation
