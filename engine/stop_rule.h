// When a request has had enough.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/sampling_params.h"

namespace guildhall {

// Rules in order: a stop token of the request, or an end token of the model unless ignore_eos -> kStop;
// max_tokens outputs, or a context that is full -> kLength. Until min_tokens outputs exist, stop and end
// tokens may not be chosen.
class StopRule {
 public:
  StopRule() = default;
  StopRule(const SamplingParams& params, std::span<const int32_t> eos_tokens, int64_t max_positions);

  // After `token` was chosen as the `outputs`-th output (from 1) of a sequence that is `length` tokens long
  // with it.
  std::optional<FinishReason> After(int32_t token, int64_t outputs, int64_t length) const;
  // Tokens that may not be chosen as the next output when there are `outputs` so far.
  std::span<const int32_t> Masked(int64_t outputs) const;
  bool Ends(int32_t token) const;

 private:
  std::vector<int32_t> end_tokens_;
  int64_t min_tokens_ = 0;
  int64_t max_tokens_ = 0;
  int64_t max_positions_ = 0;
};

}  // namespace guildhall
