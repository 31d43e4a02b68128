// What all calls of the runtime share: errors, and which come first.
#include <utility>

#include "tests/cuda_emulation/machine.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

constinit thread_local cudaError_t last_error = cudaSuccess;

cudaError_t First(Machine& machine, const char* function) {
  if (machine.options.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (machine.devices.empty()) return cudaErrorNoDevice;
  if (const int fault = machine.faults.Count(function)) return static_cast<cudaError_t>(fault);
  return static_cast<cudaError_t>(machine.faults.stuck());
}

}  // namespace

cudaError_t Call(const char* function, const std::function<cudaError_t(Machine&)>& body) {
  Machine& machine = Machine::Get();
  CatchFaults();
  cudaError_t error = First(machine, function);
  if (error == cudaSuccess) error = body(machine);
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t CallThatWaits(const char* function, const std::function<cudaError_t(Machine&)>& drain) {
  return Call(function, [&](Machine& machine) {
    machine.Count([](Counts& counts) { ++counts.synchronizations; });
    const cudaError_t error = drain(machine);
    Queues::BetweenWork([&] {
      for (const auto& device : machine.devices) device->range.Close();
    });
    if (error != cudaSuccess && error != cudaErrorNotReady) return error;
    const int failed = machine.faults.TakeRemembered();
    return failed != 0 ? static_cast<cudaError_t>(failed) : error;
  });
}

}  // namespace guildhall::emulation

cudaError_t cudaPeekAtLastError() {
  using guildhall::emulation::Machine;
  const int stuck = Machine::Get().faults.stuck();
  return stuck != 0 ? static_cast<cudaError_t>(stuck) : guildhall::emulation::last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  guildhall::emulation::last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
#define GH_ERROR(name, number, text) \
  case cudaError##name:              \
    return "cudaError" #name;
      GH_FOR_EACH_CUDA_ERROR(GH_ERROR)
#undef GH_ERROR
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
#define GH_ERROR(name, number, text) \
  case cudaError##name:              \
    return text;
      GH_FOR_EACH_CUDA_ERROR(GH_ERROR)
#undef GH_ERROR
  }
  return "unrecognized error code";
}
