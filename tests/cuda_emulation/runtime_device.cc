// The runtime's calls about devices.
#include <cstring>
#include <string>

#include "base/str_cat.h"
#include "tests/cuda_emulation/machine.h"

using guildhall::StrCat;
using guildhall::emulation::Call;
using guildhall::emulation::CallThatWaits;
using guildhall::emulation::DeviceState;
using guildhall::emulation::Machine;

namespace {

bool IsDevice(const Machine& machine, int device) {
  return device >= 0 && static_cast<size_t>(device) < machine.devices.size();
}

cudaDeviceProp Properties(const DeviceState& device) {
  cudaDeviceProp properties = {};
  const std::string name = StrCat("emulated device ", device.index);
  std::memcpy(properties.name, name.c_str(), name.size() + 1);
  properties.totalGlobalMem = device.options.memory_bytes;
  properties.sharedMemPerBlock = size_t{48} << 10;
  properties.sharedMemPerBlockOptin = device.options.shared_bytes;
  properties.warpSize = 32;
  properties.maxThreadsPerBlock = 1024;
  const int block[3] = {1024, 1024, 64};
  const int grid[3] = {2147483647, 65535, 65535};
  std::memcpy(properties.maxThreadsDim, block, sizeof(block));
  std::memcpy(properties.maxGridSize, grid, sizeof(grid));
  properties.major = device.options.major;
  properties.minor = device.options.minor;
  properties.multiProcessorCount = device.options.multiprocessors;
  properties.l2CacheSize = 50 << 20;
  properties.pciBusID = device.index + 1;
  properties.unifiedAddressing = 1;
  return properties;
}

}  // namespace

cudaError_t cudaDriverGetVersion(int* version) {
  *version = Machine::Get().options.driver_version;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return Call("cudaGetDeviceCount", [&](Machine& machine) {
    *count = static_cast<int>(machine.devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return Call("cudaSetDevice", [&](Machine& machine) {
    if (!IsDevice(machine, device)) return cudaErrorInvalidDevice;
    guildhall::emulation::current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return Call("cudaGetDevice", [&](Machine&) {
    *device = guildhall::emulation::current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return Call("cudaGetDeviceProperties", [&](Machine& machine) {
    if (!IsDevice(machine, device)) return cudaErrorInvalidDevice;
    *properties = Properties(*machine.devices[static_cast<size_t>(device)]);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return Call("cudaDeviceGetAttribute", [&](Machine& machine) {
    if (!IsDevice(machine, device)) return cudaErrorInvalidDevice;
    const cudaDeviceProp properties = Properties(*machine.devices[static_cast<size_t>(device)]);
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
        *value = properties.maxThreadsPerBlock;
        return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = static_cast<int>(properties.sharedMemPerBlock);
        return cudaSuccess;
      case cudaDevAttrWarpSize:
        *value = properties.warpSize;
        return cudaSuccess;
      case cudaDevAttrMultiProcessorCount:
        *value = properties.multiProcessorCount;
        return cudaSuccess;
      case cudaDevAttrComputeCapabilityMajor:
        *value = properties.major;
        return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        *value = properties.minor;
        return cudaSuccess;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(properties.sharedMemPerBlockOptin);
        return cudaSuccess;
    }
    return cudaErrorInvalidValue;
  });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  return Call("cudaDeviceGetStreamPriorityRange", [&](Machine&) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return Call("cudaMemGetInfo", [&](Machine& machine) {
    *free_bytes = machine.Current().range.free_bytes();
    *total_bytes = machine.Current().range.memory_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return CallThatWaits("cudaDeviceSynchronize", [](Machine& machine) {
    machine.Current().queues.DrainAll();
    return cudaSuccess;
  });
}
