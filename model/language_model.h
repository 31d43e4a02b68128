// What the engine needs of a model: one forward pass over a batch, and the sizes to plan it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/batch.h"

namespace guildhall {

// What a step leaves for the host. Valid until the next Launch.
struct StepOutput {
  std::span<const float> logits;  // (output rows of that kind, vocabulary), in the batch's order
  std::span<const float> hidden;  // (output rows of that kind, hidden): the last norm's result

  // With Batch::observe_routes, of each layer with routed experts: (rows, k); -1: no choice.
  struct Routes {
    int layer = 0;
    std::span<const int32_t> experts;
    std::span<const float> weights;
  };
  std::span<const Routes> routes;
};

// Implemented by Decoder, and by small stand-ins in the engine's tests. Used by the engine thread only.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual int64_t vocabulary() const = 0;
  virtual int64_t max_positions() const = 0;
  // Most rows and most output rows of one batch.
  virtual int64_t max_rows() const = 0;
  virtual int64_t max_outputs() const = 0;
  // KV blocks that exist; ids are 0 .. kv_blocks-1. Blocks without memory must not be used.
  virtual int64_t kv_blocks() const = 0;

  // So many blocks fill about a page of the device: what is worth getting or releasing at a time.
  virtual int64_t kv_release_blocks() const { return 1; }
  // All blocks have memory at first. Gives the blocks [first, first + count) memory, of any content, or takes
  // it from them: the blocks that have some are always the first ones. RESOURCE_EXHAUSTED; then nothing has
  // changed.
  virtual absl::Status GrowKvBlocks(int64_t first, int64_t count) {
    (void)first;
    (void)count;
    return absl::OkStatus();
  }
  virtual void ReleaseKvBlocks(int64_t first, int64_t count) {
    (void)first;
    (void)count;
  }

  // Begins a step. Keys and values of all its rows are written before any row attends: a batch may hold
  // several chunks of a prompt's rows as well as decoding rows. The batch's arrays, its sets and tables stay
  // until Await.
  virtual void Launch(const Batch& batch) = 0;
  // Its end. Errors are the device's: then the step's rows have no result, and what they had in the KV cache
  // is lost. UNAVAILABLE: so will every later step end. DATA_LOSS: so it will, the weights are damaged.
  virtual absl::StatusOr<StepOutput> Await() = 0;
};

// Both at once.
inline absl::StatusOr<StepOutput> RunStep(LanguageModel& model, const Batch& batch) {
  model.Launch(batch);
  return model.Await();
}

}  // namespace guildhall
