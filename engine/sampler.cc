#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/logprobs.h"
#include "engine/philox.h"

namespace guildhall {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

absl::Status CheckFinite(std::span<const float> logits) {
  if (AllFinite(logits)) return absl::OkStatus();
  const auto bad = std::find_if(logits.begin(), logits.end(), [](float x) { return !std::isfinite(x); });
  return absl::InternalError(
      StrCat("the model gave ", *bad, " as the logit of token ", bad - logits.begin(),
             "; expected a finite number: the weights are damaged or overflow in this dtype"));
}

int32_t ArgMax(std::span<const float> logits) {
  const float max = MaxOf(logits);
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), max) - logits.begin());
}

Sampler::Sampler(int64_t vocabulary) {
  GH_CHECK_GT(vocabulary, 0);
  const auto size = static_cast<size_t>(vocabulary);
  modified_.resize(size);
  counts_.resize(size);
  touched_.reserve(size);
  ids_.reserve(size);
  weights_.reserve(size);
  buffer_.reserve(std::max<size_t>(4096, 2 * size));
}

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits, const SamplingParams& params,
                                        std::span<const int32_t> prompt, std::span<const int32_t> output,
                                        std::span<const int32_t> masked) {
  GH_CHECK_EQ(logits.size(), modified_.size());
  GH_RETURN_IF_ERROR(CheckFinite(logits));
  if (Modifies(params, masked)) {
    std::copy(logits.begin(), logits.end(), modified_.begin());
    Modify(params, prompt, output, masked);
    logits = modified_;
  }
  const float max = MaxOf(logits);
  if (!std::isfinite(max)) {
    return absl::FailedPreconditionError(
        "no token is left to choose: logit_bias, min_tokens, suppress_tokens, begin_suppress_tokens, "
        "bad_words_ids and no_repeat_ngram_size together exclude the whole vocabulary");
  }
  if (params.temperature == 0.0f) return ArgMax(logits);
  return Draw(logits, max, params, output.size());
}

bool Sampler::Modifies(const SamplingParams& params, std::span<const int32_t> masked) const {
  return !params.logit_bias.empty() || !masked.empty() || params.repetition_penalty != 1.0f ||
         params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f || TokenBans::Any(params);
}

void Sampler::Modify(const SamplingParams& params, std::span<const int32_t> prompt,
                     std::span<const int32_t> output, std::span<const int32_t> masked) {
  for (const auto& [token, bias] : params.logit_bias) modified_[static_cast<size_t>(token)] += bias;
  Penalize(params, prompt, output);
  bans_.Apply(params, prompt, output, modified_);
  for (const int32_t token : masked) modified_[static_cast<size_t>(token)] = kMinusInfinity;
}

void Sampler::Penalize(const SamplingParams& params, std::span<const int32_t> prompt,
                       std::span<const int32_t> output) {
  if (params.repetition_penalty != 1.0f) {
    const auto penalize = [&](std::span<const int32_t> tokens) {
      for (const int32_t token : tokens) {
        if (counts_[static_cast<size_t>(token)]++ > 0) continue;
        touched_.push_back(token);
        float& logit = modified_[static_cast<size_t>(token)];
        logit = logit < 0.0f ? logit * params.repetition_penalty : logit / params.repetition_penalty;
      }
    };
    penalize(prompt);
    penalize(output);
    for (const int32_t token : touched_) counts_[static_cast<size_t>(token)] = 0;
    touched_.clear();
  }
  if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) {
    for (const int32_t token : output) {
      if (counts_[static_cast<size_t>(token)]++ == 0) touched_.push_back(token);
    }
    for (const int32_t token : touched_) {
      const auto count = static_cast<float>(counts_[static_cast<size_t>(token)]);
      modified_[static_cast<size_t>(token)] -= params.presence_penalty + params.frequency_penalty * count;
      counts_[static_cast<size_t>(token)] = 0;
    }
    touched_.clear();
  }
}

int32_t Sampler::Draw(std::span<const float> logits, float max, const SamplingParams& params,
                      uint64_t position) {
  float lowest = kMinusInfinity;
  if (params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size()) {
    lowest = KthLargest(logits, static_cast<size_t>(params.top_k), buffer_);
  }
  ids_.clear();
  weights_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] < lowest || logits[i] == kMinusInfinity) continue;
    ids_.push_back(static_cast<int32_t>(i));
    weights_.push_back(logits[i] - max);
  }
  // The largest has weight 1 even where a tiny temperature would make 0 / 0 of it.
  for (float& weight : weights_) weight = weight == 0.0f ? 1.0f : ExpNonPositive(weight / params.temperature);

  if (params.top_p < 1.0f) KeepTopP(static_cast<double>(params.top_p));
  double total = 0.0;
  for (float& weight : weights_) {
    if (weight < params.min_p) weight = 0.0f;
    total += static_cast<double>(weight);
  }
  const double target = UniformAt(params.seed, position) * total;
  double sum = 0.0;
  size_t chosen = 0;
  for (size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] == 0.0f) continue;
    chosen = i;  // the last one with a weight stands in should rounding leave the target above the sum
    sum += static_cast<double>(weights_[i]);
    if (sum > target) break;
  }
  return ids_[chosen];
}

// Sets the weights outside the nucleus to 0. Looks at the largest weights only, at more of them as long as
// their sum does not reach top_p: the vocabulary is sorted in full only where the distribution is that flat.
void Sampler::KeepTopP(double top_p) {
  double total = 0.0;
  for (const float weight : weights_) total += static_cast<double>(weight);
  const double wanted = top_p * total;
  float smallest = 0.0f;  // the smallest weight in the nucleus
  size_t equal = 0;       // how many of that weight are in
  for (size_t count = 64;; count *= 8) {
    const bool all = count >= weights_.size();
    if (all) {
      buffer_.assign(weights_.begin(), weights_.end());
    } else {
      KthLargest(weights_, count, buffer_);  // leaves the `count` largest in the buffer
    }
    std::sort(buffer_.begin(), buffer_.end(), std::greater<float>());
    double sum = 0.0;
    size_t kept = 0;
    while (kept < buffer_.size() && sum < wanted) sum += static_cast<double>(buffer_[kept++]);
    kept = std::max<size_t>(kept, 1);
    if (sum < wanted && !all) continue;
    smallest = buffer_[kept - 1];
    equal = static_cast<size_t>(
        std::count(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(kept), smallest));
    break;
  }
  for (float& weight : weights_) {
    if (weight > smallest) continue;
    if (weight == smallest && equal > 0) {
      --equal;
    } else {
      weight = 0.0f;
    }
  }
}

}  // namespace guildhall
