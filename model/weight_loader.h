// From a weight source to packed weights.
#pragma once

#include <cstddef>
#include <functional>

#include "absl/status/statusor.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "model/weights.h"
#include "weights/weight_formats.h"

namespace guildhall {

// Bytes that LoadWeights will take, from names, shapes and dtypes alone.
size_t PackedWeightBytes(const WeightSource& source, const Backend& backend, const WeightFormats& formats);

// Packs all weights into one buffer of device memory, several tensors at a time. `progress` (may be empty) is
// called under a lock with the packed bytes done and in all. RESOURCE_EXHAUSTED, DATA_LOSS.
absl::StatusOr<DecoderWeights> LoadWeights(const WeightSource& source, Backend& backend,
                                           const WeightFormats& formats,
                                           const std::function<void(size_t, size_t)>& progress);

}  // namespace guildhall
