// Which addresses are reserved, and which memory is mapped where.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <map>
#include <mutex>

namespace guildhall::emulation {

struct DeviceState;

// As the driver does it: addresses, memory and access are three things. Thread-safe.
class DriverMemory {
 public:
  CUresult Reserve(DeviceState& device, CUdeviceptr* address, size_t bytes, size_t alignment);
  CUresult Unreserve(CUdeviceptr address, size_t bytes);
  CUresult Create(DeviceState& device, CUmemGenericAllocationHandle* handle, size_t bytes);
  CUresult Release(CUmemGenericAllocationHandle handle);
  CUresult Map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle);
  CUresult Unmap(CUdeviceptr address, size_t bytes);
  CUresult SetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc& access);
  // Handles and reservations: what leaks.
  size_t pieces() const;

 private:
  struct Run {
    DeviceState* device = nullptr;
    size_t bytes = 0;
  };
  struct Memory : Run {
    bool released = false, mapped = false;
  };
  struct Mapping : Run {
    CUmemGenericAllocationHandle handle = 0;
  };
  // The reservation that holds all of it, or null.
  const Run* Reserved(CUdeviceptr address, size_t bytes) const;
  bool AnyMapped(CUdeviceptr address, size_t bytes) const;
  void Drop(CUmemGenericAllocationHandle handle);

  mutable std::mutex mutex_;
  CUmemGenericAllocationHandle next_handle_ = 1;
  std::map<CUdeviceptr, Run> reserved_;
  std::map<CUdeviceptr, Mapping> mapped_;
  std::map<CUmemGenericAllocationHandle, Memory> memory_;
};

}  // namespace guildhall::emulation
