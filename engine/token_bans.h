// Tokens that may not come next, by what the text so far is: transformers' suppress_tokens,
// begin_suppress_tokens, bad_words_ids and no_repeat_ngram_size.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/sampling_params.h"

namespace guildhall {

// Scratch for one search, allocated once. Single owner.
class TokenBans {
 public:
  TokenBans();

  static bool Any(const SamplingParams& params);

  // Sets the logits of banned tokens to -infinity. Time: the lists' lengths, and with no_repeat_ngram_size
  // that of the text.
  void Apply(const SamplingParams& params, std::span<const int32_t> prompt, std::span<const int32_t> output,
             std::span<float> logits);

 private:
  void BanRepeats(size_t size, std::span<const int32_t> prompt, std::span<const int32_t> output,
                  std::span<float> logits);

  std::vector<int32_t> borders_;  // of each prefix of the n-gram that is searched
};

}  // namespace guildhall
