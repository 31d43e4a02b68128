// A Hugging Face model folder, opened, understood and
// checked: the only way in which weights enter the server.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "checkpoint/binding.h"
#include "checkpoint/generation_config.h"
#include "checkpoint/model_spec.h"
#include "checkpoint/options.h"
#include "checkpoint/tensor_files.h"
#include "checkpoint/weight_source.h"

namespace guildhall {

// Immutable after Open; thread-safe; keeps its files mapped. After Open every tensor that the spec asks for
// is present with its shape, and no tensor of the files is unaccounted for.
class Checkpoint final : public WeightSource {
 public:
  // NOT_FOUND: no folder or no config.json. INVALID_ARGUMENT: a malformed file. FAILED_PRECONDITION:
  // well-formed but not served (unknown architecture, a key that changes the result and is not understood, a
  // missing or extra tensor).
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(const std::string& directory,
                                                          const CheckpointOptions& options = {});

  // A packed folder (model_folder.h), whose weights are elsewhere: names and shapes are known, Read() is
  // FAILED_PRECONDITION. `dtype`: of the model that was packed. At most `most_weights` are expected, else
  // FAILED_PRECONDITION. Errors as Open.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> OpenPacked(const std::string& directory,
                                                                const CheckpointOptions& options, DType dtype,
                                                                size_t most_weights);

  const std::string& directory() const { return directory_; }
  const ModelSpec& spec() const override { return spec_; }
  // Empty without generation_config.json. (The tokens that end a text are in the spec, from either file.)
  const GenerationConfig& generation() const { return generation_; }
  // What a person should know of config.json, and of what the operator says of the folder's files.
  const std::vector<std::string>& notes() const { return notes_; }

  bool Has(const WeightKey& key) const override { return binding_.weights.contains(key); }
  DType dtype(const WeightKey& key) const override { return Bound(key).view.dtype; }
  // FAILED_PRECONDITION in a packed folder. Copies by pread, so that a file that was cut is DATA_LOSS where
  // touching the mapping would be a signal.
  absl::StatusOr<TensorView> Read(const WeightKey& key, std::vector<std::byte>& scratch) const override;
  absl::StatusOr<TensorView> ReadRows(const WeightKey& key, int64_t begin, int64_t end,
                                      std::vector<std::byte>& scratch) const override;
  size_t TotalBytes() const override;
  // DATA_LOSS if a file was written to since Open; call when the last weight has been read.
  absl::Status CheckUnchanged() const;

  // A view into the mapped files (zero copy). CHECK: Has(key).
  // Experts that the files hold stacked come as slices.
  const TensorView& Weight(const WeightKey& key) const { return Bound(key).view; }
  // None in a packed folder.
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_.files(); }
  // The name in the file, for messages.
  const std::string& WeightName(const WeightKey& key) const { return Bound(key).name; }

 private:
  const BoundWeight& Bound(const WeightKey& key) const;
  // end < 0: all rows.
  absl::StatusOr<TensorView> ReadBound(const BoundWeight& bound, int64_t begin, int64_t end,
                                       std::vector<std::byte>& scratch) const;

  std::string directory_;
  ModelSpec spec_;
  GenerationConfig generation_;
  std::vector<std::string> notes_;
  TensorFiles files_;
  Binding binding_;
};

}  // namespace guildhall
