// One device of the machine: what it is, and the streams and events that are made on it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/handle.h"

namespace guildhall::cuda {

// "13.0" of the runtime's 13000.
std::string VersionText(int version);

// INTERNAL "cuda: DOING: cudaErrorLaunchFailure (unspecified launch failure)"; RESOURCE_EXHAUSTED where
// memory was refused; OK where nothing failed. The runtime forgets the error, if it can.
absl::Status StatusOf(cudaError_t error, std::string_view doing);

// Thread-safe. A thread makes the device its current one before it calls what has no stream of its own.
class Device {
 public:
  // FAILED_PRECONDITION where there is no driver, one that is too old, no device of that index, or one that
  // is too old itself: found and needed, one line.
  static absl::StatusOr<Device> Open(int index);

  absl::Status MakeCurrent() const;

  // `urgent`: before streams that are not.
  absl::StatusOr<Stream> MakeStream(bool urgent) const;
  // `timed`: cudaEventElapsedTime may be asked; waiting for others does not spin.
  absl::StatusOr<Event> MakeEvent(bool timed = false) const;

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  uint64_t total_bytes() const { return total_bytes_; }
  int multiprocessors() const { return multiprocessors_; }
  // "cuda 13.0, NVIDIA H100 80GB HBM3, 79.1 GiB, driver 580.159".
  std::string Describe() const;

 private:
  int index_ = 0;
  std::string name_;
  uint64_t total_bytes_ = 0;
  int multiprocessors_ = 1;
  int runtime_version_ = 0, driver_version_ = 0;
};

}  // namespace guildhall::cuda
