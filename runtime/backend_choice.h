// Which device serves a model: the one that is named, or for "auto" one that has room for it.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/make_backend.h"

namespace guildhall {

// OK: the model can be served on that back end. Else why not.
using FitsFunction = std::function<absl::Status(Backend& backend)>;

// What options.device names. "auto": the first CUDA device where `fits` holds; else the CPU, and the log says
// why. `fits` has been called, last, on what is returned, and held. Errors as MakeBackend and `fits`.
absl::StatusOr<std::unique_ptr<Backend>> ChooseBackend(const BackendOptions& options,
                                                       const FitsFunction& fits);

}  // namespace guildhall
