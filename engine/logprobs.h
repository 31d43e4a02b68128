// Log-probabilities from logits: plain passes over one row of the vocabulary.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace guildhall {

// e^x to about one unit in the last place for x <= 0, 0 below -87; no branches, so that loops over it
// vectorise.
inline float ExpNonPositive(float x) {
  // x = n ln2 + r, |r| <= ln2 / 2; ln2 in two parts so that n ln2 is exact in the first. Taylor to r^7: 6e-9
  // relative.
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = (static_cast<int32_t>(n) + 127) << 23;
  const float value = p * std::bit_cast<float>(exponent);
  return x < -87.0f ? 0.0f : value;
}

bool AllFinite(std::span<const float> logits);
// NaN-free input.
float MaxOf(std::span<const float> logits);
// log(sum(exp(logits))), accumulated in double in one fixed order.
double LogSumExp(std::span<const float> logits);

// The k-th largest (k from 1); -inf when there are fewer than k values above -inf. `buffer` is scratch; it is
// grown to at most max(4096, 2 k) values.
float KthLargest(std::span<const float> values, size_t k, std::vector<float>& buffer);

// The log-probability of `token` and of the `top` best ones (best first, ties by the lower id) under
// softmax(logits).
TokenLogprob MakeLogprob(std::span<const float> logits, int32_t token, int32_t top,
                         std::vector<float>& buffer);

}  // namespace guildhall
