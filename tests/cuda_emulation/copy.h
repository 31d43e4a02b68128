// One copy between host and device, or on the device.
#pragma once

#include <cstddef>

#include <cuda_runtime.h>

#include "tests/cuda_emulation/machine.h"

namespace guildhall::emulation {

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
  cudaMemcpyKind kind;

  // What comes from pageable memory is read now, from pinned memory late. `waits` is set where the call may
  // not return before the copy is made: its goal is pageable.
  cudaError_t Enqueue(Machine& machine, cudaStream_t stream, bool* waits) const;
};

// The device's bytes for the runtime; ends the run where `what` touches what is no memory.
std::byte* InsideOrReport(DeviceState& device, const void* begin, size_t bytes, const char* what);

}  // namespace guildhall::emulation
