#include "tests/cuda_emulation/machine.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <utility>

#include "base/check.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

std::unique_ptr<Machine> MachineOfEnvironment() {
  auto machine = std::make_unique<Machine>(OptionsOfEnvironment());
  if (const char* const fault = std::getenv("EMULATED_CUDA_FAULT")) {
    std::istringstream fields(fault);
    std::string function, nth, error, sticky;
    std::getline(fields, function, ':');
    std::getline(fields, nth, ':');
    std::getline(fields, error, ':');
    std::getline(fields, sticky, ':');
    machine->faults.Plan(function, std::stoi(nth), std::stoi(error), sticky == "sticky");
  }
  return machine;
}

std::unique_ptr<Machine>& TheMachine() {
  // Never destroyed: threads may still call while the process ends.
  static auto* const machine = new std::unique_ptr<Machine>(MachineOfEnvironment());
  return *machine;
}

}  // namespace

constinit thread_local int current_device = 0;

DeviceState::DeviceState(const DeviceOptions& the_options, int the_index)
    : options(the_options), index(the_index), range(the_options.memory_bytes) {}

Machine::Machine(Options the_options) : options(std::move(the_options)), pinned(options.pinned_bytes) {
  for (const DeviceOptions& device : options.devices) {
    devices.push_back(std::make_unique<DeviceState>(device, static_cast<int>(devices.size())));
  }
}

Machine& Machine::Get() {
  return *TheMachine();
}

void Machine::Replace(Options options) {
  TheMachine() = std::make_unique<Machine>(std::move(options));
  current_device = 0;
}

DeviceState* Machine::DeviceOf(const void* address) {
  for (const auto& device : devices) {
    if (device->range.Contains(address)) return device.get();
  }
  return nullptr;
}

DeviceState& Machine::Current() {
  GH_CHECK_LT(static_cast<size_t>(current_device), devices.size());
  return *devices[static_cast<size_t>(current_device)];
}

DeviceState* Machine::DeviceOf(cudaStream_t stream) {
  if (stream == nullptr) return &Current();
  for (const auto& device : devices) {
    if (device->queues.Has(stream)) return device.get();
  }
  return nullptr;
}

void Machine::Count(const std::function<void(Counts&)>& add) {
  const std::lock_guard lock(counts_mutex_);
  add(counts_);
}

Counts Machine::TakeCounts() {
  const std::lock_guard lock(counts_mutex_);
  return std::exchange(counts_, {});
}

Options OptionsOfEnvironment() {
  const auto text = [](const char* name, const char* otherwise) {
    const char* const value = std::getenv(name);
    return std::string(value != nullptr ? value : otherwise);
  };
  Options options;
  DeviceOptions device;
  const std::string capability = text("EMULATED_CUDA_CAPABILITY", "9.0");
  device.major = std::stoi(capability);
  device.minor = std::stoi(capability.substr(capability.find('.') + 1));
  device.memory_bytes = std::stoull(text("EMULATED_CUDA_MEMORY", "1073741824"));
  device.page_bytes = std::stoull(text("EMULATED_CUDA_PAGE", "2097152"));
  options.devices.assign(std::stoull(text("EMULATED_CUDA_DEVICES", "1")), device);
  options.driver_version = std::stoi(text("EMULATED_CUDA_DRIVER", "13000"));
  options.cublas = text("EMULATED_CUDA_CUBLAS", "1") == "1";
  const std::string order = text("EMULATED_CUDA_ORDER", "forward");
  if (order == "backward") options.order = Order::kBackward;
  if (order == "shuffled") options.order = Order::kShuffled;
  return options;
}

void EmulatedDevice::Configure(Options options) {
  Machine::Replace(std::move(options));
}

void EmulatedDevice::SetOrder(Order order) {
  Machine::Get().options.order = order;
}

void EmulatedDevice::Fail(const std::string& function, int nth, int error, bool sticky) {
  Machine::Get().faults.Plan(function, nth, error, sticky);
}

void EmulatedDevice::Heal() {
  Machine::Get().faults.Heal();
}

Counts EmulatedDevice::TakeCounts() {
  return Machine::Get().TakeCounts();
}

size_t EmulatedDevice::LivePieces() {
  Machine& machine = Machine::Get();
  size_t pieces = machine.pinned.pieces() + machine.driver.pieces();
  for (const auto& device : machine.devices) pieces += device->range.pieces();
  return pieces;
}

}  // namespace guildhall::emulation
