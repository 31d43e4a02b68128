// What the lanes of a warp find out together.
#pragma once

#include <cuda_runtime.h>

namespace guildhall::cuda {

inline constexpr int kWarpLanes = 32;
inline constexpr unsigned kWholeWarp = 0xffffffffu;

// In pairs of lanes, of pairs, ...: a fixed order, and all lanes get the same bits.
__device__ inline float WarpSum(float value) {
  for (int step = kWarpLanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

// Of those that are numbers; -infinity where none is.
__device__ inline float WarpMax(float value) {
  for (int step = kWarpLanes / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kWholeWarp, value, step);
    if (!(value >= other)) value = other == other ? other : value;
  }
  return value;
}

}  // namespace guildhall::cuda
