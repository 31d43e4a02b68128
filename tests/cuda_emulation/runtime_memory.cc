// The runtime's calls about memory, and copies.
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/align.h"
#include "base/str_cat.h"
#include "tests/cuda_emulation/copy.h"
#include "tests/cuda_emulation/machine.h"

using guildhall::AlignUp;
using guildhall::emulation::Call;
using guildhall::emulation::CallThatWaits;
using guildhall::emulation::Copy;
using guildhall::emulation::DeviceState;
using guildhall::emulation::Machine;

namespace {

constexpr size_t kPage = 4096;

}  // namespace

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return Call("cudaMalloc", [&](Machine& machine) {
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    DeviceState& device = machine.Current();
    if (!device.range.Charge(AlignUp(bytes, kPage))) return cudaErrorMemoryAllocation;
    std::byte* const begin = device.range.Reserve(bytes, kPage);
    if (begin == nullptr) return cudaErrorMemoryAllocation;
    device.range.Create(begin, bytes, true);
    const std::lock_guard lock(device.mutex);
    device.allocations[begin] = bytes;
    *memory = begin;
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* memory) {
  return Call("cudaFree", [&](Machine& machine) {
    if (memory == nullptr) return cudaSuccess;
    DeviceState* const device = machine.DeviceOf(memory);
    if (device == nullptr) return cudaErrorInvalidValue;
    const std::lock_guard lock(device->mutex);
    const auto allocation = device->allocations.find(memory);
    if (allocation == device->allocations.end()) return cudaErrorInvalidValue;
    device->range.Destroy(static_cast<std::byte*>(memory), allocation->second);
    device->range.Uncharge(AlignUp(allocation->second, kPage));
    device->allocations.erase(allocation);
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return Call("cudaHostAlloc", [&](Machine& machine) {
    *memory = bytes > 0 ? machine.pinned.Allocate(bytes) : nullptr;
    return bytes > 0 && *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* memory) {
  return Call("cudaFreeHost", [&](Machine& machine) {
    if (memory == nullptr || machine.pinned.Free(memory)) return cudaSuccess;
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  // What goes to pageable memory is there when the call returns.
  bool waits = false;
  const cudaError_t error = Call("cudaMemcpyAsync", [&](Machine& machine) {
    return Copy{to, from, bytes, kind}.Enqueue(machine, stream, &waits);
  });
  return error == cudaSuccess && waits ? cudaStreamSynchronize(stream) : error;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return CallThatWaits("cudaMemcpy", [&](Machine& machine) {
    bool waits = false;
    const cudaError_t error = Copy{to, from, bytes, kind}.Enqueue(machine, nullptr, &waits);
    if (error == cudaSuccess) machine.Current().queues.Drain(nullptr);
    return error;
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return Call("cudaMemsetAsync", [&](Machine& machine) {
    DeviceState* const device = machine.DeviceOf(to);
    DeviceState* const owner = machine.DeviceOf(stream);
    if (owner == nullptr) return cudaErrorInvalidResourceHandle;
    if (bytes == 0) return cudaSuccess;
    if (device == nullptr) return cudaErrorInvalidValue;
    owner->queues.Push(stream, {.run = [device, to, value, bytes] {
                         std::memset(guildhall::emulation::InsideOrReport(*device, to, bytes, "a memset"),
                                     value, bytes);
                       }});
    return cudaSuccess;
  });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
