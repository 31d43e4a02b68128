// The CUDA side of a step: all of its arrays go to the device in one copy.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/device_memory.h"
#include "kernels/step_data.h"

namespace guildhall::cuda {

// Of the engine thread. One block of device memory and its pinned twin; both grow with the largest step so
// far, so that soon no step allocates.
class CudaStep {
 public:
  // All outlive it.
  CudaStep(CudaDeviceMemory& memory, cudaStream_t stream) : memory_(memory), stream_(stream) {}

  // Enqueues the copy. What was enqueued before may still run.
  absl::Status Begin(const StepInputs& inputs);
  const StepData& data() const { return data_; }
  // The same in host memory: for what an op has to move and compute.
  const StepData& host_data() const { return host_data_; }

 private:
  absl::Status Fit(size_t bytes);

  CudaDeviceMemory& memory_;
  const cudaStream_t stream_;
  DeviceBuffer block_;
  HostTwin twin_;
  StepData data_, host_data_;
  std::vector<int32_t> logit_set_;  // (logits)
  std::vector<RowSegment> row_segments_, logit_segments_;
};

}  // namespace guildhall::cuda
