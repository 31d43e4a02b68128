// Kernels that are wrong by one thing each, and their right twins: what the checking mode must find, and what
// it must let pass.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace guildhall::cuda {

enum class Planted {
  kNothing,
  kGlobalOutOfBounds,
  kGlobalBelow,
  kSharedOutOfBounds,
  kUnwrittenShared,
  kSharedRace,
  kGlobalRace,
  kWarpRace,
  kBlocksWrite,
  kBlocksReadWrite,
  kFenceForgotten,
  kDivergentBarrier,
  kLaneOutsideOfMask,
  kMisalignedVector,
  kMisalignedCopy,
  kCopyReadEarly,
  kCopyOverwritten,
  kCopyNotAwaited,
  kCopyLeft,
  kCopyRace,
  kRowOutsideOfShared,
};

struct PlantedArgs {
  Planted planted;
  const float* in;   // (64) 16-byte aligned
  float* out;        // (64)
  int32_t* counter;  // (1), zero
};

// One launch of two blocks of 32 threads, with 1 KiB of shared memory: out = in + 1, counter = 64. With
// something planted it does that wrong.
cudaError_t LaunchPlanted(const PlantedArgs& args, cudaStream_t stream);

}  // namespace guildhall::cuda
