// The driver's memory calls, over pages of the devices' own addresses. What a handle's pages hold is lost
// when they are unmapped: more than the driver takes away, for what is still there would hide mistakes.
#include <cuda.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "tests/cuda_emulation/driver_functions.h"
#include "tests/cuda_emulation/driver_memory.h"
#include "tests/cuda_emulation/machine.h"

using guildhall::emulation::Call;
using guildhall::emulation::DeviceOptions;
using guildhall::emulation::DriverMemory;
using guildhall::emulation::Machine;

namespace {

// The runtime's rules of failure hold here, too; most numbers are the same.
CUresult DriverCall(const char* function, const std::function<CUresult(Machine&)>& body) {
  return static_cast<CUresult>(
      Call(function, [&](Machine& machine) { return static_cast<cudaError_t>(body(machine)); }));
}

}  // namespace

namespace guildhall::emulation {

void* DriverFunction(const char* symbol) {
  static const std::map<std::string, void*> functions = {
#define GH_FUNCTION(name) {#name, reinterpret_cast<void*>(&name)}
      GH_FUNCTION(cuGetErrorName),
      GH_FUNCTION(cuGetErrorString),
      GH_FUNCTION(cuMemGetInfo),
      GH_FUNCTION(cuMemGetAllocationGranularity),
      GH_FUNCTION(cuMemAddressReserve),
      GH_FUNCTION(cuMemAddressFree),
      GH_FUNCTION(cuMemCreate),
      GH_FUNCTION(cuMemRelease),
      GH_FUNCTION(cuMemMap),
      GH_FUNCTION(cuMemUnmap),
      GH_FUNCTION(cuMemSetAccess),
      GH_FUNCTION(cuDeviceGet),
      GH_FUNCTION(cuDeviceGetAttribute),
#undef GH_FUNCTION
  };
  const auto function = functions.find(symbol);
  return function != functions.end() ? function->second : nullptr;
}

}  // namespace guildhall::emulation

CUresult cuGetErrorName(CUresult error, const char** text) {
  *text = cudaGetErrorName(static_cast<cudaError_t>(error));
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char** text) {
  *text = cudaGetErrorString(static_cast<cudaError_t>(error));
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int index) {
  return DriverCall("cuDeviceGet", [&](Machine& machine) {
    if (index < 0 || static_cast<size_t>(index) >= machine.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    *device = index;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  return DriverCall("cuDeviceGetAttribute", [&](Machine& machine) {
    const guildhall::emulation::DeviceOptions& options =
        machine.devices.at(static_cast<size_t>(device))->options;
    switch (attribute) {
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = options.major;
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = options.minor;
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
        *value = options.page_bytes > 0 ? 1 : 0;
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return DriverCall("cuMemGetInfo", [&](Machine& machine) {
    *free_bytes = machine.Current().range.free_bytes();
    *total_bytes = machine.Current().range.memory_bytes();
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                       CUmemAllocationGranularity_flags) {
  return DriverCall("cuMemGetAllocationGranularity", [&](Machine& machine) {
    *granularity = machine.devices.at(static_cast<size_t>(properties->location.id))->options.page_bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAddressReserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr,
                             unsigned long long) {
  return DriverCall("cuMemAddressReserve", [&](Machine& machine) {
    return machine.driver.Reserve(machine.Current(), address, bytes, alignment);
  });
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  return DriverCall("cuMemAddressFree",
                    [&](Machine& machine) { return machine.driver.Unreserve(address, bytes); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t bytes,
                     const CUmemAllocationProp* properties, unsigned long long) {
  return DriverCall("cuMemCreate", [&](Machine& machine) {
    const auto device = static_cast<size_t>(properties->location.id);
    if (properties->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
        properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (device >= machine.devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    return machine.driver.Create(*machine.devices[device], handle, bytes);
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return DriverCall("cuMemRelease", [&](Machine& machine) { return machine.driver.Release(handle); });
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long) {
  return DriverCall("cuMemMap", [&](Machine& machine) {
    return offset == 0 ? machine.driver.Map(address, bytes, handle) : CUDA_ERROR_NOT_SUPPORTED;
  });
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  return DriverCall("cuMemUnmap", [&](Machine& machine) { return machine.driver.Unmap(address, bytes); });
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access, size_t count) {
  return DriverCall("cuMemSetAccess", [&](Machine& machine) {
    for (size_t i = 0; i < count; ++i) {
      const CUresult error = machine.driver.SetAccess(address, bytes, access[i]);
      if (error != CUDA_SUCCESS) return error;
    }
    return CUDA_SUCCESS;
  });
}
