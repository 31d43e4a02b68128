// From logit rows to what the reader sees: prompt scores, tokens, the end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace guildhall {

// What goes wrong with one row (numbers that are not finite, memory, a callback that throws) ends that
// request alone. Engine thread only.
class Publisher {
 public:
  explicit Publisher(int64_t vocabulary) : sampler_(vocabulary) { buffer_.reserve(4096); }

  // The logits that follow `position` of the sequence. Appends at most one token; may end the sequence.
  void Row(Sequence& sequence, int32_t position, std::span<const float> logits, absl::Time now);

  // Rows in a row, over all requests, whose logits were not finite.
  int consecutive_numeric_failures() const { return numeric_failures_; }

 private:
  void PromptRow(Sequence& sequence, int32_t position, std::span<const float> logits, absl::Time now);
  void OutputRow(Sequence& sequence, std::span<const float> logits, absl::Time now);
  void Fail(Sequence& sequence, const absl::Status& status, absl::Time now);

  Sampler sampler_;
  std::vector<float> buffer_;
  int numeric_failures_ = 0;
};

}  // namespace guildhall
