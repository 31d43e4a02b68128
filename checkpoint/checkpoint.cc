#include "checkpoint/checkpoint.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "checkpoint/model_folder.h"

namespace guildhall {

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(const std::string& directory,
                                                             const CheckpointOptions& options) {
  GH_ASSIGN_OR_RETURN(ModelFolder folder, ReadModelFolder(directory, options));
  if (!folder.problems.empty()) {
    const absl::Status status = folder.problems.ToStatus();
    return absl::Status(status.code(), StrCat(directory, ": ", status.message()));
  }
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->directory_ = directory;
  checkpoint->spec_ = std::move(folder.config.spec);
  checkpoint->generation_ = std::move(folder.generation);
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
  const BoundWeight& bound = Bound(key);
  TensorView view = bound.view;
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
