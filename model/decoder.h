// The decoder: one forward pass for every family, over a batch that mixes sequences and tasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "kernels/matrix.h"
#include "model/language_model.h"
#include "model/packed_folder.h"
#include "weights/slot_table.h"
#include "weights/step_workspace.h"
#include "weights/weight_formats.h"

namespace guildhall {

struct DecoderWeights;  // model/weights.h

struct DecoderOptions {
  int64_t max_rows = 512;             // of one step
  int64_t max_outputs = 64;           // output rows of one step
  int64_t kv_blocks = 0;              // how many; see KvBytesPerBlock
  std::optional<KvFormat> kv_format;  // unset: as the model's DefaultKvFormat()
  WeightFormats formats;
};

// Bytes loaded so far and in all; called from the loading thread, often.
using ProgressFunction = std::function<void(size_t done_bytes, size_t total_bytes)>;

// Bytes of one KV block over all layers.
size_t KvBytesPerBlock(const ModelSpec& spec, const Backend& backend, std::optional<KvFormat> kv_format);

// Bytes that a decoder takes beside its KV blocks.
struct DecoderMemory {
  size_t weights = 0;  // packed
  size_t step = 0;     // activations, logits, scratch of ops, the table of angles
};
DecoderMemory DecoderMemoryOf(const WeightSource& source, const Backend& backend,
                              const DecoderOptions& options);

class Decoder final : public LanguageModel {
 public:
  // Packs all weights into the backend's layout (RESOURCE_EXHAUSTED with the arithmetic when memory is
  // refused). The source may be closed afterwards; the backend outlives the decoder and serves it alone.
  static absl::StatusOr<std::unique_ptr<Decoder>> Load(const WeightSource& source, Backend& backend,
                                                       const DecoderOptions& options,
                                                       const ProgressFunction& progress = {});
  // The same over weights that are packed already: `model` has names and shapes alone, options.formats is not
  // read. Errors as LoadPackedWeights.
  static absl::StatusOr<std::unique_ptr<Decoder>> LoadPacked(const WeightSource& model,
                                                             const PackedLoad& packed, Backend& backend,
                                                             const DecoderOptions& options,
                                                             const ProgressFunction& progress = {});
  ~Decoder() override;

  const ModelSpec& spec() const;
  int64_t vocabulary() const override;
  int64_t max_positions() const override;
  int64_t max_rows() const override;
  int64_t max_outputs() const override;
  int64_t kv_blocks() const override;
  int64_t kv_release_blocks() const override;
  absl::Status GrowKvBlocks(int64_t first, int64_t count) override;
  void ReleaseKvBlocks(int64_t first, int64_t count) override;

  // Per layer the base's networks. Their weights live as long as the decoder.
  std::vector<BaseExperts> base_experts() const;
  // For who publishes adapters.
  const std::shared_ptr<StepWorkspace>& workspace() const;

  // For who names or counts them. They live as long as the decoder.
  const DecoderWeights& weights() const;

  void Launch(const Batch& batch) override;
  absl::StatusOr<StepOutput> Await() override;

 private:
  struct Impl;
  explicit Decoder(std::unique_ptr<Impl> impl);
  static absl::StatusOr<std::unique_ptr<Decoder>> Over(const ModelSpec& spec, DecoderWeights weights,
                                                       Backend& backend, const DecoderOptions& options);
  std::unique_ptr<Impl> impl_;
};

}  // namespace guildhall
