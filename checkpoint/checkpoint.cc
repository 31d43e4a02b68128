#include "checkpoint/checkpoint.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/expected_weights.h"
#include "checkpoint/model_folder.h"

namespace guildhall {

namespace {

absl::Status CheckProblems(const std::string& directory, const ModelFolder& folder) {
  if (folder.problems.empty()) return absl::OkStatus();
  const absl::Status status = folder.problems.ToStatus();
  return absl::Status(status.code(), StrCat(directory, ": ", status.message()));
}

// A lower bound of how many weights a model has; no more than some millions in any case.
size_t LeastWeights(const ModelSpec& spec) {
  size_t count = 0;
  for (const LayerSpec& layer : spec.layers) count += layer.moe ? static_cast<size_t>(spec.gate.experts) : 1;
  return count;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::OpenPacked(const std::string& directory,
                                                                   const CheckpointOptions& options,
                                                                   DType dtype, size_t most_weights) {
  GH_ASSIGN_OR_RETURN(ModelFolder folder, ReadFolderConfig(directory, options));
  GH_RETURN_IF_ERROR(CheckProblems(directory, folder));
  if (LeastWeights(folder.config.spec) > most_weights) {
    return absl::FailedPreconditionError(
        StrCat(directory, ": config.json asks for at least ", LeastWeights(folder.config.spec),
               " weights, and the folder has ", most_weights, ": they are of different models"));
  }
  folder.config.spec.dtype = dtype;
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->directory_ = directory;
  checkpoint->binding_ = ExpectedWeights(folder.config);
  checkpoint->spec_ = std::move(folder.config.spec);
  checkpoint->generation_ = std::move(folder.generation);
  checkpoint->notes_ = std::move(folder.config.notes);
  return checkpoint;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory,
                                                             const CheckpointOptions& options) {
  if (IsPackedFolder(directory)) {
    return absl::FailedPreconditionError(
        StrCat(directory, ": expected a checkpoint's own tensors, found packed weights (",
               kPackedManifestFile, "): name the folder that they were made of"));
  }
  GH_ASSIGN_OR_RETURN(ModelFolder folder, ReadModelFolder(directory, options));
  GH_RETURN_IF_ERROR(CheckProblems(directory, folder));
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->directory_ = directory;
  checkpoint->spec_ = std::move(folder.config.spec);
  checkpoint->generation_ = std::move(folder.generation);
  checkpoint->notes_ = std::move(folder.config.notes);
  checkpoint->files_ = std::move(folder.files);
  checkpoint->binding_ = std::move(folder.binding);
  return checkpoint;
}

const BoundWeight& Checkpoint::Bound(const WeightKey& key) const {
  const auto at = binding_.weights.find(key);
  GH_CHECK(at != binding_.weights.end());
  return at->second;
}

absl::StatusOr<TensorView> Checkpoint::Read(const WeightKey& key, std::vector<std::byte>& scratch) const {
  return ReadBound(Bound(key), 0, -1, scratch);
}

absl::StatusOr<TensorView> Checkpoint::ReadRows(const WeightKey& key, int64_t begin, int64_t end,
                                                std::vector<std::byte>& scratch) const {
  return ReadBound(Bound(key), begin, end, scratch);
}

absl::StatusOr<TensorView> Checkpoint::ReadBound(const BoundWeight& bound, int64_t begin, int64_t end,
                                                 std::vector<std::byte>& scratch) const {
  if (bound.file == nullptr) {
    return absl::FailedPreconditionError(
        StrCat("tensor ", bound.name,
               ": the base model's folder has packed weights, and this needs the checkpoint's own numbers: "
               "serve the folder that they "
               "were made of, with the same weights.* formats"));
  }
  TensorView view = end < 0 ? bound.view : bound.view.Rows(begin, end);
  scratch.resize(view.Bytes());
  const absl::Status read = bound.file->Read(view, scratch);
  if (!read.ok()) return absl::Status(read.code(), StrCat("tensor ", bound.name, ": ", read.message()));
  view.data = scratch.data();
  return view;
}

size_t Checkpoint::TotalBytes() const {
  size_t bytes = 0;
  for (const auto& [key, bound] : binding_.weights) bytes += bound.view.Bytes();
  return bytes;
}

absl::Status Checkpoint::CheckUnchanged() const {
  for (const auto& file : files_.files()) GH_RETURN_IF_ERROR(file->CheckUnchanged());
  return absl::OkStatus();
}

}  // namespace guildhall
