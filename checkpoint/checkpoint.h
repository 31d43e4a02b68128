// A Hugging Face model folder, opened, understood and checked: the only way in which weights enter the server.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weight_key.h"

namespace guildhall {

struct CheckpointOptions {
  // Keys of config.json that are neither known nor harmless, which the operator declares harmless by name.
  std::vector<std::string> ignore_config_keys;
};

// Immutable after Open; thread-safe; keeps its files mapped. After Open every tensor that the spec asks for is present
// with its shape, and no tensor of the files is unaccounted for.
class Checkpoint {
 public:
  // NOT_FOUND: no folder or no config.json. INVALID_ARGUMENT: a malformed file. FAILED_PRECONDITION: well-formed but not
  // served (unknown architecture, a key that changes the result and is not understood, a missing or extra tensor).
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory,
                                                          const CheckpointOptions& options = {});

  const std::string& directory() const { return directory_; }
  const ModelSpec& spec() const { return spec_; }

  // A view into the mapped files. CHECK: the spec asks for `key`. Experts that the files hold stacked come as slices.
  const TensorView& Weight(const WeightKey& key) const;
  bool HasWeight(const WeightKey& key) const { return weights_.contains(key); }
  // The name in the file, for messages.
  const std::string& WeightName(const WeightKey& key) const;

  size_t TotalBytes() const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }

 private:
  struct Entry {
    std::string name;
    TensorView view;
  };
  std::string directory_;
  ModelSpec spec_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<WeightKey, Entry> weights_;
};

}  // namespace guildhall
