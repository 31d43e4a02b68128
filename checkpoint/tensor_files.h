// The safetensors files of a model folder and one directory of all their tensors.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/problems.h"
#include "checkpoint/safetensors.h"

namespace guildhall {

// Immutable after Open.
class TensorFiles {
 public:
  struct Tensor {
    const SafetensorsFile* file;
    const SafetensorsEntry* entry;
  };

  // model.safetensors, or else the shards of model.safetensors.index.json: the order of transformers.
  // Whatever is wrong (no file, a malformed one, a shard that is missing, a tensor in two shards or not where
  // the index says) is a problem; the files that could be read are there all the same.
  static TensorFiles Open(const std::string& directory, Problems& problems);

  const Tensor* Find(std::string_view name) const;
  const std::unordered_map<std::string_view, Tensor>& tensors() const { return tensors_; }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

 private:
  void OpenSharded(const std::string& directory, const std::string& index_path, Problems& problems);
  const SafetensorsFile* OpenFile(const std::string& path, Problems& problems);
  void AddTensors(const SafetensorsFile& file, Problems& problems);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unordered_map<std::string_view, Tensor> tensors_;  // names live in the files' headers
};

// One shard index, parsed: tensor -> file name. Pure. INVALID_ARGUMENT for malformed text and for names that
// are not plain names of .safetensors files in the folder itself.
absl::StatusOr<std::unordered_map<std::string, std::string>> ParseShardIndex(std::string_view text);

}  // namespace guildhall
