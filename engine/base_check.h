// A step of the base alone, that nobody asked for: whether it gives finite numbers.
#pragma once

#include "absl/status/statusor.h"
#include "engine/base_health.h"
#include "engine/batch_builder.h"
#include "engine/sequence.h"
#include "engine/sequence_blocks.h"
#include "model/language_model.h"

namespace guildhall {

// A few tokens from everywhere in the vocabulary, so that a router sends them to different experts. Engine
// thread only.
class BaseCheck {
 public:
  // `most_rows`: of a step.
  BaseCheck(const LanguageModel& model, int64_t most_rows);

  // Between two steps. kNoRoom: the KV cache has no block for it now. Errors are the device's.
  absl::StatusOr<BaseHealth::Result> Run(LanguageModel& model, SequenceBlocks& blocks, BatchBuilder& builder);

 private:
  Sequence sequence_;
};

}  // namespace guildhall
