// The CUDA back end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"
#include "kernels/device_products.h"

namespace guildhall {

struct CudaOptions {
  size_t page_bytes = size_t{2} << 20;  // rounded up to what the device maps
  DeviceProducts products = DeviceProducts::kExact;
  LibraryOptions library = {};
};

// `index`: among the devices that the driver shows. FAILED_PRECONDITION, with what is missing, where this
// build or machine has no such device (NoCudaDevice: none at all), or no library for the products.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int index, const CudaOptions& options);

}  // namespace guildhall
