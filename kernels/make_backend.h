// The choice of a back end: the one place that knows which there are.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/options.h"

namespace guildhall {

struct BackendOptions {
  std::string device = "cpu";           // see DeviceName; "auto", which needs a model, is the CPU here
  size_t page_bytes = size_t{2} << 20;  // of DeviceMemory::pages(); rounded up to what the device maps
  CpuOptions cpu;
};

// INVALID_ARGUMENT for a device that is not known, with the known ones; FAILED_PRECONDITION, with what is
// missing, for one that this build or machine does not have; else as the device's own factory.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options);

}  // namespace guildhall
