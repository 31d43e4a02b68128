// The CUDA back end.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/backend.h"

namespace guildhall {

// FAILED_PRECONDITION, with what is missing, where this build or machine has no CUDA.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(size_t page_bytes);

}  // namespace guildhall
