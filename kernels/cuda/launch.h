// One way to launch a kernel: no triple brackets, so that a host compiler can read the sources, too.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <utility>

#include "kernels/cuda/context.h"

namespace guildhall::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;  // of the dynamic block; kernels have no other shared memory
};

// Of dynamic shared memory that a kernel has without asking.
inline constexpr size_t kFreeSharedBytes = size_t{48} << 10;

inline cudaError_t AllowShared(const void* kernel, size_t bytes, const Context& context) {
  SharedAllowances::Place* const place =
      context.allowances == nullptr ? nullptr : context.allowances->Of(kernel);
  if (place != nullptr && place->bytes >= bytes) return cudaSuccess;
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (error == cudaSuccess && place != nullptr) *place = {kernel, bytes};
  return error;
}

// An empty grid is nothing to do. More than kFreeSharedBytes are asked for here.
template <typename... Parameters, typename... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), const LaunchShape& shape, const Context& context,
                   Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return cudaSuccess;
  if (shape.shared_bytes > kFreeSharedBytes) {
    const cudaError_t error = AllowShared(reinterpret_cast<const void*>(kernel), shape.shared_bytes, context);
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = context.stream;
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace guildhall::cuda
