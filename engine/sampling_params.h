// How a request's tokens are chosen and when it ends. All values are validated and all defaults resolved
// before.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace guildhall {

struct SamplingParams {
  float temperature = 1.0f;         // 0: greedy (the lowest id among equal logits)
  int32_t top_k = 0;                // 0, -1: all
  float top_p = 1.0f;               // [0, 1]; 0: the likeliest alone
  float min_p = 0.0f;               // [0, 1): relative to the best probability
  float repetition_penalty = 1.0f;  // > 0, over prompt and output, as transformers applies it
  float presence_penalty = 0.0f;    // over output, [-2, 2]
  float frequency_penalty = 0.0f;   // over output, [-2, 2]
  std::vector<std::pair<int32_t, float>> logit_bias;
  std::vector<int32_t> suppress_tokens;         // never chosen
  std::vector<int32_t> begin_suppress_tokens;   // not chosen as the first output
  std::vector<std::vector<int32_t>> bad_words;  // none empty: their last token does not follow the others
  int32_t no_repeat_ngram_size = 0;             // no sequence of so many tokens occurs twice; 0: off
  uint64_t seed = 0;                            // same seed, same text, whatever the batch

  int32_t max_tokens = 256;          // 0: score the prompt only
  int32_t min_tokens = 0;            // end-of-sequence and stop tokens are masked before
  std::vector<int32_t> stop_tokens;  // the model's own end tokens are added unless ignore_eos
  bool ignore_eos = false;

  bool logprobs = false;     // of the chosen token, from the unmodified distribution
  int32_t top_logprobs = 0;  // alternatives per position, <= kMaxTopLogprobs
  bool prompt_logprobs = false;
};

inline constexpr int32_t kMaxTopLogprobs = 20;
inline constexpr int32_t kMaxNoRepeatNgram = 1024;

}  // namespace guildhall
