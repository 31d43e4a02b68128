// A model folder becomes one whose weights are packed, in given formats.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint.h"
#include "kernels/backend.h"
#include "model/packed_manifest.h"
#include "weights/weight_formats.h"

namespace guildhall {

struct QuantizeOptions {
  WeightFormats formats;
  bool force = false;  // replaces a packed folder that is there; nothing else is ever replaced
  std::string tool;    // "guildhall 0.1.0", for the manifest
};

// Writes OUT: the packed weights, their manifest, and the source's configuration, tokenizer and templates.
// All of it is written beside OUT and takes its name at the end, so OUT is whole or not there.
// ALREADY_EXISTS: something is there that may not be replaced; RESOURCE_EXHAUSTED: not enough room on the
// disk; DATA_LOSS: the source changed meanwhile.
absl::StatusOr<PackedManifest> QuantizeFolder(const Checkpoint& source, const Backend& backend,
                                              const std::string& out, const QuantizeOptions& options,
                                              const std::function<void(size_t, size_t)>& progress);

}  // namespace guildhall
