// Pages of a CUDA device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/cuda/device.h"
#include "kernels/page_memory.h"

namespace guildhall::cuda {

// `steps`: what is unmapped is waited for there. Pages are of `page_bytes`, rounded up to what the device
// maps. Where the driver has no virtual memory, a range is one allocation that is there from its
// reservation on: ops see no difference, and pages give nothing back. `device` and `steps` outlive it.
absl::StatusOr<std::unique_ptr<PageMemory>> MakeCudaPageMemory(const Device& device, cudaStream_t steps,
                                                               size_t page_bytes);

}  // namespace guildhall::cuda
