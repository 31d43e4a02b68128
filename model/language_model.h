// What the engine needs of a model: one forward pass over a batch, and the sizes to plan it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/batch.h"

namespace guildhall {

// Implemented by Decoder, and by small stand-ins in the engine's tests. Used by the engine thread only.
class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual int64_t vocabulary() const = 0;
  virtual int64_t max_positions() const = 0;
  // Most rows and most logit rows of one batch.
  virtual int64_t max_rows() const = 0;
  virtual int64_t max_outputs() const = 0;
  // KV blocks that exist; ids are 0 .. kv_blocks-1.
  virtual int64_t kv_blocks() const = 0;

  // So many blocks fill about a page of the system in each layer: what is worth releasing at a time.
  virtual int64_t kv_release_blocks() const { return 1; }
  // Nobody needs what these blocks hold: their memory goes back to the system until they are written again.
  virtual void ReleaseKvBlocks(int64_t first, int64_t count) {
    (void)first;
    (void)count;
  }

  // Returns (outputs, vocabulary) logits in fp32, valid until the next call. Writes the rows' keys and values
  // first, then attends: a batch may hold several chunks of a prompt's rows as well as decoding rows.
  virtual std::span<const float> Forward(const Batch& batch) = 0;
};

}  // namespace guildhall
