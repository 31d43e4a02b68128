// The outside of a generation: what the server hands to the engine and what it gets back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/sampling_params.h"
#include "engine/speculation.h"
#include "weights/adapter_set.h"

namespace guildhall {

class TokenStream;

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0.0f;
  std::vector<std::pair<int32_t, float>> top;  // best first
};

enum class FinishReason { kStop, kLength, kCancelled, kDeadline, kError };

struct RequestUsage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;  // prompt tokens whose keys were found in the prefix cache
  int32_t output_tokens = 0;  // sampled, with the stop token that ended it
  int32_t preemptions = 0;
  int32_t drafted_tokens = 0;   // guesses that were computed
  int32_t accepted_tokens = 0;  // of these, those that were right: output tokens that cost no step
};

struct RequestTimings {
  absl::Duration queue;        // submit -> first scheduled
  absl::Duration prefill;      // first scheduled -> first token
  absl::Duration first_token;  // submit -> first token
  absl::Duration total;
};

// The one terminal event of a request.
struct RequestEnd {
  FinishReason reason = FinishReason::kStop;
  int32_t stop_token = -1;  // the stop or end token that ended it (never sent as a TokenEvent); -1: none
  absl::Status status;      // not ok with kError, kDeadline and kCancelled
  RequestUsage usage;
  RequestTimings timings;
};

struct TokenEvent {
  int32_t token = 0;
  bool has_logprob = false;
  TokenLogprob logprob;
  int32_t drafted = 0;   // guesses that its step computed, told with the step's first token
  bool guessed = false;  // it was one of them
};

struct Request {
  uint64_t id = 0;                             // unique, for logs
  std::string task;                            // a task that the engine knows; "" is the base
  std::vector<int32_t> prompt;                 // not empty, every id in the vocabulary
  std::shared_ptr<const AdapterSet> adapters;  // what serves it, to its end; null: the base
  std::string cache_salt;                      // prefixes are shared only between requests with the same salt
  SamplingParams sampling;
  Speculation speculation;  // changes times, never an answer
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<TokenStream> stream;  // shared by the answer and the engine

  // Called on the engine thread with the logits that follow prompt position `position` (score): once for each
  // position from 0 to the last, ascending. May be empty.
  std::function<void(int32_t position, std::span<const float> logits)> on_prompt_logits;
};

}  // namespace guildhall
