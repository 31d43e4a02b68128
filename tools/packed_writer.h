// Packs a model's weights into a file.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "model/packed_manifest.h"
#include "weights/weight_formats.h"

namespace guildhall {

// Writes a new file at `path`, a few tensors in memory at a time, and returns what it holds: the manifest
// without tool and sources. On failure the file is left as far as it came. RESOURCE_EXHAUSTED for a full
// disk, ALREADY_EXISTS, PERMISSION_DENIED, and what the source's reads return.
absl::StatusOr<PackedManifest> WritePackedWeights(const WeightSource& source, const Backend& backend,
                                                  const WeightFormats& formats, const std::string& path,
                                                  const std::function<void(size_t, size_t)>& progress);

}  // namespace guildhall
