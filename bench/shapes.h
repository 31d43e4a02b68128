// Model shapes that the benchmark generates, so that it needs no checkpoint.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

// Names that ShapeSpec knows.
std::vector<std::string> ShapeNames();

// The published shape `name` with `layers` layers (0: its own number). INVALID_ARGUMENT names the known ones.
absl::StatusOr<ModelSpec> ShapeSpec(const std::string& name, DType dtype, int layers);

}  // namespace guildhall
