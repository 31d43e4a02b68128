#include "tests/cuda_emulation/driver_memory.h"

#include <algorithm>

#include "tests/cuda_emulation/machine.h"

namespace guildhall::emulation {
namespace {

std::byte* Pointer(CUdeviceptr address) {
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address));
}

bool IsWhole(const DeviceState& device, CUdeviceptr value) {
  return device.options.page_bytes > 0 && value % device.options.page_bytes == 0;
}

}  // namespace

CUresult DriverMemory::Reserve(DeviceState& device, CUdeviceptr* address, size_t bytes, size_t alignment) {
  if (bytes == 0 || !IsWhole(device, bytes)) return CUDA_ERROR_INVALID_VALUE;
  std::byte* const begin = device.range.Reserve(bytes, std::max(alignment, device.options.page_bytes));
  if (begin == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = reinterpret_cast<uintptr_t>(begin);
  const std::lock_guard lock(mutex_);
  reserved_[*address] = {&device, bytes};
  return CUDA_SUCCESS;
}

CUresult DriverMemory::Unreserve(CUdeviceptr address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto run = reserved_.find(address);
  if (run == reserved_.end() || run->second.bytes != bytes || AnyMapped(address, bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  reserved_.erase(run);
  return CUDA_SUCCESS;
}

CUresult DriverMemory::Create(DeviceState& device, CUmemGenericAllocationHandle* handle, size_t bytes) {
  if (bytes == 0 || !IsWhole(device, bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (!device.range.Charge(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::lock_guard lock(mutex_);
  *handle = next_handle_++;
  Memory& memory = memory_[*handle];
  memory.device = &device;
  memory.bytes = bytes;
  return CUDA_SUCCESS;
}

void DriverMemory::Drop(CUmemGenericAllocationHandle handle) {
  const auto memory = memory_.find(handle);
  if (!memory->second.released || memory->second.mapped) return;
  memory->second.device->range.Uncharge(memory->second.bytes);
  memory_.erase(memory);
}

CUresult DriverMemory::Release(CUmemGenericAllocationHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto memory = memory_.find(handle);
  if (memory == memory_.end() || memory->second.released) return CUDA_ERROR_INVALID_VALUE;
  memory->second.released = true;
  Drop(handle);
  return CUDA_SUCCESS;
}

const DriverMemory::Run* DriverMemory::Reserved(CUdeviceptr address, size_t bytes) const {
  auto run = reserved_.upper_bound(address);
  if (run == reserved_.begin()) return nullptr;
  --run;
  return address + bytes <= run->first + run->second.bytes ? &run->second : nullptr;
}

bool DriverMemory::AnyMapped(CUdeviceptr address, size_t bytes) const {
  auto next = mapped_.lower_bound(address);
  if (next != mapped_.end() && next->first < address + bytes) return true;
  return next != mapped_.begin() && (--next)->first + next->second.bytes > address;
}

CUresult DriverMemory::Map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto memory = memory_.find(handle);
  if (memory == memory_.end() || memory->second.released) return CUDA_ERROR_INVALID_VALUE;
  const Run* const run = Reserved(address, bytes);
  if (!IsWhole(*memory->second.device, address) || bytes != memory->second.bytes || run == nullptr ||
      run->device != memory->second.device) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (memory->second.mapped || AnyMapped(address, bytes)) return CUDA_ERROR_ALREADY_MAPPED;
  memory->second.mapped = true;
  Mapping& mapping = mapped_[address];
  mapping.device = run->device;
  mapping.bytes = bytes;
  mapping.handle = handle;
  run->device->range.Create(Pointer(address), bytes, false);
  return CUDA_SUCCESS;
}

CUresult DriverMemory::Unmap(CUdeviceptr address, size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto begin = mapped_.find(address);
  size_t found = 0;
  auto end = begin;
  for (; end != mapped_.end() && end->first == address + found && found < bytes; ++end) {
    found += end->second.bytes;
  }
  if (found != bytes || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  for (auto mapping = begin; mapping != end; ++mapping) {
    mapping->second.device->range.Destroy(Pointer(mapping->first), mapping->second.bytes);
    memory_.at(mapping->second.handle).mapped = false;
    Drop(mapping->second.handle);
  }
  mapped_.erase(begin, end);
  return CUDA_SUCCESS;
}

CUresult DriverMemory::SetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc& access) {
  const std::lock_guard lock(mutex_);
  const Run* const run = Reserved(address, bytes);
  if (run == nullptr || access.location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
      access.location.id != run->device->index) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const bool open = access.flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return run->device->range.SetAccess(Pointer(address), bytes, open) ? CUDA_SUCCESS
                                                                     : CUDA_ERROR_INVALID_VALUE;
}

size_t DriverMemory::pieces() const {
  const std::lock_guard lock(mutex_);
  return reserved_.size() + memory_.size();
}

}  // namespace guildhall::emulation
