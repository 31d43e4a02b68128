// Brings weights into the layout of kernels/cuda/weight_layout.h. Done by the host; needs no device.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "kernels/packing.h"

namespace guildhall::cuda {

// Backend::PackedBytes and Backend::PackFrom. A block of a quantized matrix that holds a NaN or an infinity
// gets the scale NaN.
size_t PackedBytesOf(const PackShape& shape);
absl::Status PackWeights(const PackShape& shape, const PackParts& parts, std::byte* to);

}  // namespace guildhall::cuda
