// A model folder read as far as it can be: what Checkpoint::Open refuses by and Inspect shows.
#pragma once

#include <string>

#include "checkpoint/binding.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/hf_config.h"
#include "checkpoint/tensor_files.h"

namespace guildhall {

struct ModelFolder {
  HfConfig config;
  GenerationConfig generation;  // empty without generation_config.json
  TensorFiles files;
  Binding binding;
  Problems problems;  // empty: the folder is served
};

// A folder that `guildhall quantize` wrote has its weights
// packed beside a manifest of this name, and no tensors.
inline constexpr char kPackedManifestFile[] = "packed.json";
bool IsPackedFolder(const std::string& directory);

// NOT_FOUND or INVALID_ARGUMENT when there is no folder or no
// config.json that is JSON; every other fault is in `problems`.
absl::StatusOr<ModelFolder> ReadModelFolder(const std::string& directory, const CheckpointOptions& options);
// The same without its weights: no files, nothing bound.
absl::StatusOr<ModelFolder> ReadFolderConfig(const std::string& directory, const CheckpointOptions& options);

}  // namespace guildhall
