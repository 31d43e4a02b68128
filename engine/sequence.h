// The engine's private progress of one request.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/kv_blocks.h"
#include "engine/request.h"
#include "engine/speculation.h"
#include "engine/stop_rule.h"

namespace guildhall {

// Made on the submitting thread, then owned by the queue and by the engine thread in turn.
struct Sequence {
  std::shared_ptr<Request> request;
  int32_t task = 0;                // index into the engine's tasks
  uint64_t arrival = 0;            // unique; smaller is older
  PrefixSpace space = kBaseSpace;  // set when the engine thread takes it
  StopRule stop;
  Drafter drafter;

  std::vector<int32_t> tokens;  // prompt, then output
  int32_t prompt_tokens = 0;
  int32_t computed = 0;         // leading tokens whose keys are in `blocks`
  int32_t scored = 0;           // prompt positions whose logits were delivered; survives preemption
  std::vector<int32_t> blocks;  // in order of position
  int32_t registered = 0;       // leading blocks that the prefix cache knows
  PrefixNode node = kRootNode;  // of the last of them
  std::vector<TokenLogprob> prompt_logprobs;

  uint64_t admission = 0;
  uint64_t last_step = 0;
  int32_t overtaken = 0;  // at admission, see Plan
  absl::Time submitted;
  absl::Time scheduled = absl::InfiniteFuture();  // first
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time paused_since = absl::InfiniteFuture();
  bool ended = false;  // `end` is set and waits to be sent
  RequestEnd end;      // its usage counts from the start

  const AdapterSet* adapters() const { return request->adapters.get(); }
  bool paused() const { return paused_since != absl::InfiniteFuture(); }
  bool decodes() const { return !paused() && length() - computed == 1; }
  int32_t length() const { return static_cast<int32_t>(tokens.size()); }
  std::span<const int32_t> prompt() const { return {tokens.data(), static_cast<size_t>(prompt_tokens)}; }
  std::span<const int32_t> output() const {
    return std::span(tokens).subspan(static_cast<size_t>(prompt_tokens));
  }

  // Sets `end` (the first call wins); usage and timings are those at `now`. Never throws.
  void End(FinishReason reason, absl::StatusCode code, std::string_view message, absl::Time now);

  bool WantsPromptLogits() const {
    return request->on_prompt_logits != nullptr || request->sampling.prompt_logprobs;
  }
  // Logits are wanted of every row from this one on; length() when of none.
  int32_t FirstOutput() const {
    if (WantsPromptLogits() && scored < prompt_tokens) return scored;
    return request->sampling.max_tokens == 0 ? length() : length() - 1;
  }
};

}  // namespace guildhall
