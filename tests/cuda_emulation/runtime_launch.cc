// Launches, and how the driver's calls are had.
#include <cstring>
#include <memory>
#include <utility>

#include "tests/cuda_emulation/driver_functions.h"
#include "tests/cuda_emulation/kernel_name.h"
#include "tests/cuda_emulation/machine.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kFreeSharedBytes = size_t{48} << 10;

bool FitsDevice(const dim3& grid, const dim3& block) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return threads >= 1 && threads <= 1024 && block.x <= 1024 && block.y <= 1024 && block.z <= 64 &&
         grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 2147483647 && grid.y <= 65535 &&
         grid.z <= 65535;
}

size_t AllowedShared(DeviceState& device, const void* kernel) {
  const std::lock_guard lock(device.mutex);
  const auto allowance = device.shared_allowance.find(kernel);
  return allowance != device.shared_allowance.end() ? allowance->second : kFreeSharedBytes;
}

void Execute(Machine& machine, DeviceState& device, const Launch& launch) {
  for (const std::string& name : {std::string("kernel"), launch.name}) {
    const Faults::Fault fault = machine.faults.CountExecuted(name.c_str());
    if (fault.error == 0) continue;
    machine.faults.Remember(fault.error, fault.sticky);
    return;
  }
  // What follows an error that sticks is not executed.
  if (machine.faults.stuck() != 0) return;
  machine.Count([&](Counts& counts) {
    KernelCounts& kernel = counts.kernels[launch.name];
    ++kernel.launches;
    kernel.blocks += uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  });
  device.range.Open();
  RunLaunch(launch, machine.options.order);
}

}  // namespace

cudaError_t Enqueue(const cudaLaunchConfig_t& config, const void* kernel, std::unique_ptr<KernelCall> call) {
  return Call("cudaLaunchKernelEx", [&](Machine& machine) {
    DeviceState& device = machine.Current();
    if (!device.queues.Has(config.stream)) return cudaErrorInvalidResourceHandle;
    if (!FitsDevice(config.gridDim, config.blockDim)) return cudaErrorInvalidConfiguration;
    if (config.dynamicSmemBytes > AllowedShared(device, kernel)) return cudaErrorInvalidValue;
    if (config.numAttrs > 0) return cudaErrorNotSupported;
    auto launch = std::make_shared<Launch>();
    launch->kernel = kernel;
    launch->name = KernelName(kernel);
    launch->grid = config.gridDim;
    launch->block = config.blockDim;
    launch->shared_bytes = config.dynamicSmemBytes;
    launch->call = std::move(call);
    device.queues.Push(config.stream,
                       {.run = [&machine, &device, launch] { Execute(machine, device, *launch); }});
    return cudaSuccess;
  });
}

}  // namespace guildhall::emulation

using guildhall::emulation::Call;
using guildhall::emulation::Machine;

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return Call("cudaFuncSetAttribute", [&](Machine& machine) {
    guildhall::emulation::DeviceState& device = machine.Current();
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
    if (value < 0 || static_cast<size_t>(value) > device.options.shared_bytes) return cudaErrorInvalidValue;
    const std::lock_guard lock(device.mutex);
    device.shared_allowance[kernel] = static_cast<size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long, cudaDriverEntryPointQueryResult* status) {
  return Call("cudaGetDriverEntryPointByVersion", [&](Machine&) {
    *function = guildhall::emulation::DriverFunction(symbol);
    if (status != nullptr) {
      *status = *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    }
    return *function != nullptr || status != nullptr ? cudaSuccess : cudaErrorSymbolNotFound;
  });
}
