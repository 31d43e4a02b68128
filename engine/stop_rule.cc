#include "engine/stop_rule.h"

#include <algorithm>

namespace guildhall {

StopRule::StopRule(const SamplingParams& params, std::span<const int32_t> eos_tokens, int64_t max_positions)
    : end_tokens_(params.stop_tokens),
      min_tokens_(params.min_tokens),
      max_tokens_(params.max_tokens),
      max_positions_(max_positions) {
  if (!params.ignore_eos) end_tokens_.insert(end_tokens_.end(), eos_tokens.begin(), eos_tokens.end());
}

std::optional<FinishReason> StopRule::After(int32_t token, int64_t outputs, int64_t length) const {
  if (Ends(token)) return FinishReason::kStop;
  if (outputs >= max_tokens_ || length >= max_positions_) return FinishReason::kLength;
  return std::nullopt;
}

std::span<const int32_t> StopRule::Masked(int64_t outputs) const {
  return outputs < min_tokens_ ? std::span<const int32_t>(end_tokens_) : std::span<const int32_t>();
}

bool StopRule::Ends(int32_t token) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
}

}  // namespace guildhall
