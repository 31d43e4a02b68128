#include "runtime/model_files.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"
#include "runtime/generation_defaults.h"

namespace guildhall {
namespace {

// Nothing more can be said of what is no folder.
absl::Status CheckFolder(const std::string& directory) {
  if (directory.find('\0') != std::string::npos)
    return absl::InvalidArgumentError("model folder: a name with a NUL character");
  std::error_code error;
  const auto status = std::filesystem::status(directory, error);
  if (std::filesystem::is_directory(status)) return absl::OkStatus();
  if (std::filesystem::exists(status)) {
    return absl::FailedPreconditionError(StrCat(directory, ": expected the folder of a model, found a file"));
  }
  return absl::NotFoundError(StrCat(directory, ": no such folder"));
}

absl::Status OpenWeights(const std::string& directory, const CheckpointOptions& options, ModelFiles& files) {
  if (!IsPackedFolder(directory)) {
    GH_ASSIGN_OR_RETURN(files.checkpoint, Checkpoint::Open(directory, options));
    return absl::OkStatus();
  }
  GH_ASSIGN_OR_RETURN(files.packed, PackedFolder::Open(directory));
  const PackedManifest& manifest = files.packed->manifest();
  GH_ASSIGN_OR_RETURN(files.checkpoint,
                      Checkpoint::OpenPacked(directory, options, manifest.dtype, manifest.tensors.size()));
  return absl::OkStatus();
}

absl::Status ReadDefaults(ModelFiles& files) {
  if (files.checkpoint == nullptr) return absl::OkStatus();
  GH_ASSIGN_OR_RETURN(files.defaults, GenerationDefaults(files.checkpoint->generation()));
  return absl::OkStatus();
}

absl::Status ReadText(const std::string& directory, ModelFiles& files) {
  GH_ASSIGN_OR_RETURN(files.text, LoadTextAssets(directory));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelFiles> OpenModelFiles(const std::string& directory, const CheckpointOptions& options,
                                          Problems* beside_weights) {
  GH_RETURN_IF_ERROR(CheckFolder(directory));
  ModelFiles files;
  Problems problems;
  problems.Add(OpenWeights(directory, options, files));
  for (const absl::Status& status : {ReadDefaults(files), ReadText(directory, files)}) {
    problems.Add(status);
    if (beside_weights != nullptr) beside_weights->Add(status);
  }
  GH_RETURN_IF_ERROR(problems.ToStatus());
  return files;
}

}  // namespace guildhall
