// The choice of a back end: the one place that knows which there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/cpu/options.h"
#include "kernels/device_products.h"

namespace guildhall {

struct BackendOptions {
  std::string device = "cpu";  // see DeviceName
  DeviceProducts products = DeviceProducts::kExact;
  LibraryOptions library = {};
  size_t page_bytes = size_t{2} << 20;  // of DeviceMemory::pages(); rounded up to what the device maps
  CpuOptions cpu;
};

// OK: what is asked for can be done on that back end. Else why not.
using FitsFunction = std::function<absl::Status(Backend& backend)>;

// What options.device names. "auto": the first CUDA device that is there and where `fits` holds; else the
// CPU, and the log says why. `fits`, where there is one, has been called, last, on what is returned, and
// held.
// INVALID_ARGUMENT for a device that is not known, with the known ones, and for a library's products on the
// CPU; FAILED_PRECONDITION, with what is missing, for one that this build or machine does not have; else as
// the device's own factory and `fits`.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const FitsFunction& fits = {});

}  // namespace guildhall
