// How tests make the emulated devices, and what they ask of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <cuda_runtime.h>

#include "tests/cuda_emulation/block.h"

namespace guildhall::emulation {

struct DeviceOptions {
  size_t memory_bytes = size_t{1} << 30;
  int major = 9, minor = 0;  // compute capability
  int multiprocessors = 4;
  size_t shared_bytes = 232448;  // that a block may ask for
  // What driver memory is made of: a power of two, 4096 at least; 0: this device has no such memory.
  size_t page_bytes = size_t{2} << 20;
};

struct Options {
  std::vector<DeviceOptions> devices = std::vector<DeviceOptions>(1);
  int driver_version = 13000;  // 0: no driver
  Order order = Order::kForward;
  size_t pinned_bytes = size_t{4} << 30;  // that the host may lock
  bool cublas = true;                     // the machine has cuBLASLt, of which there is a stand-in
};

// EMULATED_CUDA_DEVICES (a number), _MEMORY (bytes of each), _PAGE (bytes), _CAPABILITY ("9.0"),
// _DRIVER ("13000"), _ORDER ("forward", "backward", "shuffled"), _CUBLAS ("1", "0"): what a process begins
// with. And _FAULT ("kernel:500:719:sticky"), as EmulatedDevice::Fail.
Options OptionsOfEnvironment();

// What happened since the last Configure.
struct KernelCounts {
  uint64_t launches = 0;
  uint64_t blocks = 0;
};
struct Counts {
  std::map<std::string, KernelCounts> kernels;  // by name
  uint64_t synchronizations = 0;                // of stream, event or device
  uint64_t uploaded_bytes = 0, uploads = 0;
  uint64_t downloaded_bytes = 0, downloads = 0;
};

// The machine's devices. Thread-safe, but for Configure: nothing of the runtime may be in use then.
class EmulatedDevice {
 public:
  // New devices: no memory, stream, event, fault or error is left of the old ones.
  static void Configure(Options options);
  static void SetOrder(Order order);

  // From now on the `nth` call (1: the next) of a function ("cudaMemcpyAsync", "cuMemCreate") fails with
  // `error` and does nothing. "kernel" and "copy" fail when they are executed: whoever waits is told.
  // `sticky`: so does every call after it.
  static void Fail(const std::string& function, int nth, int error, bool sticky = false);
  // Forgets planned faults, and errors that stick.
  static void Heal();

  static Counts TakeCounts();
  // Allocations, reservations, handles and mapped runs of all devices, and pinned host memory: what leaks.
  static size_t LivePieces();
};

}  // namespace guildhall::emulation
