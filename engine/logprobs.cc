#include "engine/logprobs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

namespace guildhall {
namespace {

// Independent lanes with a fixed order of reduction: the compiler may vectorise, the result cannot change.
constexpr size_t kLanes = 16;

}  // namespace

bool AllFinite(std::span<const float> logits) {
  std::array<float, kLanes> sums = {};
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) sums[j] += logits[i + j] * 0.0f;  // NaN for NaN and for infinities
  }
  for (; i < logits.size(); ++i) sums[0] += logits[i] * 0.0f;
  float sum = 0.0f;
  for (const float lane : sums) sum += lane;
  return sum == 0.0f;
}

float MaxOf(std::span<const float> logits) {
  std::array<float, kLanes> best;
  best.fill(-std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) best[j] = logits[i + j] > best[j] ? logits[i + j] : best[j];
  }
  for (; i < logits.size(); ++i) best[0] = std::max(best[0], logits[i]);
  return *std::max_element(best.begin(), best.end());
}

double LogSumExp(std::span<const float> logits) {
  const float max = MaxOf(logits);
  std::array<double, kLanes> sums = {};
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) sums[j] += static_cast<double>(ExpNonPositive(logits[i + j] - max));
  }
  for (; i < logits.size(); ++i) sums[0] += static_cast<double>(ExpNonPositive(logits[i] - max));
  double sum = 0.0;
  for (const double lane : sums) sum += lane;
  return static_cast<double>(max) + std::log(sum);
}

float KthLargest(std::span<const float> values, size_t k, std::vector<float>& buffer) {
  // Only values above the k-th largest so far matter; the buffer is cut back to k of them whenever it is
  // full.
  const size_t limit = std::max<size_t>(4096, 2 * k);
  float threshold = -std::numeric_limits<float>::infinity();
  buffer.clear();
  const auto cut = [&] {
    std::nth_element(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(k - 1), buffer.end(),
                     std::greater<float>());
    buffer.resize(k);
    threshold = buffer[k - 1];
  };
  for (const float value : values) {
    if (!(value > threshold)) continue;
    buffer.push_back(value);
    if (buffer.size() >= limit) cut();
  }
  if (buffer.size() < k) return -std::numeric_limits<float>::infinity();
  cut();
  return threshold;
}

TokenLogprob MakeLogprob(std::span<const float> logits, int32_t token, int32_t top,
                         std::vector<float>& buffer) {
  const double sum = LogSumExp(logits);
  const auto logprob = [&](int32_t id) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - sum);
  };
  TokenLogprob result{.token = token, .logprob = logprob(token), .top = {}};
  const size_t k = std::min(static_cast<size_t>(std::max(top, 0)), logits.size());
  if (k == 0) return result;
  // Everything above the k-th value is in; of those equal to it, the lowest ids fill the rest.
  const float threshold = KthLargest(logits, k, buffer);
  std::vector<int32_t> ids;
  ids.reserve(k);
  size_t above = 0;
  for (const float value : logits) above += value > threshold ? 1 : 0;
  size_t equal = k - above;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > threshold || (logits[i] == threshold && equal > 0)) {
      if (logits[i] == threshold) --equal;
      ids.push_back(static_cast<int32_t>(i));
    }
  }
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  for (const int32_t id : ids) result.top.emplace_back(id, logprob(id));
  return result;
}

}  // namespace guildhall
