// What the files of a model folder say, all but the numbers of its weights. Whether a folder is served is
// decided by this one reading, for the server and for every command.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/problems.h"
#include "engine/sampling_fields.h"
#include "model/packed_folder.h"
#include "text/folder.h"

namespace guildhall {

struct ModelFiles {
  std::unique_ptr<PackedFolder> packed;    // null: the folder has a checkpoint's own tensors
  std::unique_ptr<Checkpoint> checkpoint;  // of a packed folder: names and shapes alone
  TextAssets text;
  PartialSampling defaults;  // of generation_config.json
  std::vector<int32_t> end_tokens;
  // What a person should know: where the files of the text side disagree and what is followed, and what
  // generation_config.json asks for that is not honoured. A line each.
  std::vector<std::string> notes;
};

// NOT_FOUND: there is no such folder. Else one status of everything that keeps the folder from being served,
// a line each, as Checkpoint::Open, PackedFolder::Open, LoadTextAssets and GenerationDefaults say it.
// `beside_weights`, where it is given, gets what is wrong with the text side and the defaults alone.
absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& directory, const CheckpointOptions& options,
                                          Problems* beside_weights = nullptr);

}  // namespace guildhall
