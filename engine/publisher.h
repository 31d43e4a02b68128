// From logit rows to what the reader sees: prompt scores, tokens, the end.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "engine/base_health.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace guildhall {

// What goes wrong with one row (numbers that are not finite, memory, a callback that throws) ends that
// request alone. Engine thread only.
class Publisher {
 public:
  // `health` outlives the publisher.
  Publisher(int64_t vocabulary, BaseHealth& health)
      : vocabulary_(vocabulary), health_(health), sampler_(vocabulary) {
    buffer_.reserve(4096);
  }

  struct Result {
    int32_t logit_rows = 0;             // of `logits` that were the sequence's
    int32_t drafted = 0, accepted = 0;  // guesses among the rows; of these, right ones
  };
  // What a step made of the sequence's next `rows` tokens: known ones, then its drafts. `logits` begins with
  // those of the rows that wanted any. Appends what was sampled, moves `computed`, judges the drafts: a
  // draft's row counts if the row before it made the very token that was guessed. May end the sequence.
  Result Rows(Sequence& sequence, int32_t rows, std::span<const float> logits, absl::Time now);

  // The logits that follow `position` of the sequence. Appends at most one token; may end the sequence.
  void Row(Sequence& sequence, int32_t position, std::span<const float> logits, absl::Time now);

 private:
  void PromptRow(Sequence& sequence, int32_t position, std::span<const float> logits, absl::Time now);
  void OutputRow(Sequence& sequence, std::span<const float> logits, absl::Time now);
  void Fail(Sequence& sequence, const absl::Status& status, absl::Time now);

  const int64_t vocabulary_;
  BaseHealth& health_;
  Sampler sampler_;
  std::vector<float> buffer_;
  std::span<const int32_t> guesses_;  // that the step computed of the sequence at hand
  int32_t guesses_begin_ = 0;         // position of the first
};

}  // namespace guildhall
