// The border: a request of the wire becomes a request that the inside may trust, or one error that names the
// field.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/server_config.h"
#include "engine/sampling_params.h"
#include "engine/speculation.h"
#include "guildhall/v1/inference.pb.h"
#include "runtime/adapter_text.h"
#include "server/task_registry.h"
#include "text/tokenizer.h"

namespace guildhall {

// The configured limits joined with what the model can do.
struct ServedLimits {
  LimitsConfig config;
  int64_t vocabulary = 0;
  int64_t context_tokens =
      0;  // prompt and output together: the model's positions, or what the KV cache can hold
  int64_t max_prompt_tokens = 0;  // resolved: never 0
  int64_t max_output_tokens = 0;  // resolved: never 0
};

ServedLimits MakeServedLimits(const LimitsConfig& config, int64_t vocabulary, int64_t max_positions,
                              int64_t kv_cache_tokens);

struct ChatPrompt {
  std::string messages_json;           // without the task's system prompt
  std::vector<std::string> arguments;  // of all tool calls in order, as they were sent
  bool has_parts = false;              // content in parts
  bool has_unset_content = false;      // null in messages_json, though the request does not say so
  bool has_system = false;             // the request brings a system message of its own
  std::string tools_json;              // "" or an array
  std::string variables_json;          // "" or an object
  bool add_generation_prompt = true;
};

// Text, chat or token ids.
using PromptInput = std::variant<std::string, ChatPrompt, std::vector<int32_t>>;

struct ValidatedRequest {
  std::shared_ptr<const Task> task;
  PromptInput input;
  SamplingParams sampling;  // defaults resolved; max_tokens as explained below
  bool max_tokens_given =
      false;  // by the request; else prompt_builder's caller lowers it to what the context leaves
  bool max_tokens_said = false;  // by the request or by a default that somebody has set
  std::vector<std::string> stop;
  bool include_stop = false;
  bool skip_special_tokens = true;
  // Stop strings that are special tokens' texts, by their ids, which are among the stop tokens: such a token
  // is no text.
  std::map<int32_t, std::string> special_stops;
  // That of its prompt, which its answer is decoded by; null: there is none.
  std::shared_ptr<const Tokenizer> tokenizer;
  Speculation speculation;
  absl::Duration time_limit = absl::InfiniteDuration();
  std::string cache_salt;
};

// Pure; allocates in proportion to the message only. INVALID_ARGUMENT with a field violation. `random_seed`
// is used where the request gives none. `adapter`, which may be null, is the text side of the task's only
// adapter: its defaults lie between the task's own and those below.
absl::StatusOr<ValidatedRequest> ValidateGenerate(const v1::GenerateRequest& request,
                                                  std::shared_ptr<const Task> task,
                                                  const ServedLimits& limits, uint64_t random_seed,
                                                  const AdapterText* adapter = nullptr);

// Finds the special tokens that stop strings name, and adds them to the stop tokens. `vocabulary`: the size.
void TakeSpecialStops(const Tokenizer& tokenizer, int64_t vocabulary, ValidatedRequest& request);

// The oneof of GenerateRequest and TokenizeRequest.
absl::StatusOr<PromptInput> ValidateInput(const v1::GenerateRequest& request, const ServedLimits& limits);
absl::StatusOr<PromptInput> ValidateInput(const v1::TokenizeRequest& request, const ServedLimits& limits);

}  // namespace guildhall
