// The runtime behind the C names: its devices, streams, planned faults and counters.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/cuda_emulation/device_range.h"
#include "tests/cuda_emulation/driver_memory.h"
#include "tests/cuda_emulation/emulated_device.h"
#include "tests/cuda_emulation/faults.h"
#include "tests/cuda_emulation/pinned_memory.h"
#include "tests/cuda_emulation/stream.h"

namespace guildhall::emulation {

struct DeviceState {
  explicit DeviceState(const DeviceOptions& the_options, int the_index);

  const DeviceOptions options;
  const int index;
  DeviceRange range;
  Queues queues;
  std::mutex mutex;
  std::map<void*, size_t> allocations;             // of cudaMalloc
  std::map<const void*, size_t> shared_allowance;  // by kernel, of cudaFuncSetAttribute
};

// Made at the first call, or by Configure. Lives until the process ends.
class Machine {
 public:
  static Machine& Get();
  static void Replace(Options options);

  explicit Machine(Options the_options);

  Options options;
  std::vector<std::unique_ptr<DeviceState>> devices;
  PinnedMemory pinned;
  DriverMemory driver;
  Faults faults;

  // Which device an address is of; null: none's.
  DeviceState* DeviceOf(const void* address);
  // Null: no stream of this machine's. The default stream is the current device's.
  DeviceState* DeviceOf(cudaStream_t stream);
  // The calling thread's; its index was checked.
  DeviceState& Current();

  void Count(const std::function<void(Counts&)>& add);
  Counts TakeCounts();

 private:
  std::mutex counts_mutex_;
  Counts counts_;
};

// The device that calls of this thread are for.
extern constinit thread_local int current_device;

// Enters a call of the runtime: no driver, errors that stick and planned faults come first. What it returns
// is also the thread's last error.
cudaError_t Call(const char* function, const std::function<cudaError_t(Machine&)>& body);
// The same of a call that waits: `drain` executes what it waits for, and what failed there is told.
cudaError_t CallThatWaits(const char* function, const std::function<cudaError_t(Machine&)>& drain);

}  // namespace guildhall::emulation
