// From a row of logits to a token.
//
// The order of operations is that of transformers' generate(): logit bias, repetition penalty, [presence and
// frequency penalty, which transformers does not have], banned tokens (token_bans.h) and the mask of
// min_tokens, temperature, top-k, top-p, min-p, draw.
//   bias         x[t] += bias[t]
//   repetition   x[t] = x[t] < 0 ? x[t] * r : x[t] / r      once for each token of prompt or output
//   presence     x[t] -= presence, frequency  x[t] -= frequency * count      for tokens of the output
//   top-k        keeps all that are >= the k-th largest (ties stay)
//   top-p        keeps the most probable ones until their sum reaches p (at least one; of equals the lower
//   ids) min-p        keeps those with a probability >= min_p * the largest
// The draw inverts the cumulative distribution of what is kept, in ascending order of ids, at a number that
// depends on (seed, output position) alone: the same logits and parameters give the same token whatever the
// batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/sampling_params.h"
#include "engine/token_bans.h"

namespace guildhall {

// Scratch for one vocabulary, allocated once; a few passes over the logits for each token. Engine thread
// only.
class Sampler {
 public:
  explicit Sampler(int64_t vocabulary);

  // `masked` may not be chosen. INTERNAL: a logit is NaN or infinite. FAILED_PRECONDITION: nothing is left to
  // choose.
  absl::StatusOr<int32_t> Sample(std::span<const float> logits, const SamplingParams& params,
                                 std::span<const int32_t> prompt, std::span<const int32_t> output,
                                 std::span<const int32_t> masked);

 private:
  bool Modifies(const SamplingParams& params, std::span<const int32_t> masked) const;
  void Modify(const SamplingParams& params, std::span<const int32_t> prompt, std::span<const int32_t> output,
              std::span<const int32_t> masked);
  void Penalize(const SamplingParams& params, std::span<const int32_t> prompt,
                std::span<const int32_t> output);
  int32_t Draw(std::span<const float> logits, float max, const SamplingParams& params, uint64_t position);
  void KeepTopP(double top_p);

  TokenBans bans_;
  std::vector<float> modified_;   // (vocabulary)
  std::vector<int32_t> counts_;   // (vocabulary) all 0 between calls
  std::vector<int32_t> touched_;  // tokens with a count
  std::vector<int32_t> ids_;      // kept, ascending
  std::vector<float> weights_;    // of ids_: exp((logit - max) / temperature)
  std::vector<float> buffer_;
};

// INTERNAL, naming the first value that is NaN or infinite and its token.
absl::Status CheckFinite(std::span<const float> logits);

// The lowest id among the largest.
int32_t ArgMax(std::span<const float> logits);

}  // namespace guildhall
