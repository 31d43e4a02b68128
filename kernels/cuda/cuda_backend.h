// The CUDA back end.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace guildhall {

// `index`: among the devices that the driver shows. FAILED_PRECONDITION, with what is missing, where this
// build or machine has no such device. Pages are of `page_bytes`, rounded up to what the device maps.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(int index, size_t page_bytes);

}  // namespace guildhall
