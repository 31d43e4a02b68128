#include "server/http/request_fields.h"

#include <algorithm>
#include <array>

#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

using enum FieldUse;
constexpr auto kBoth = RequestField::kBoth;
constexpr auto kText = RequestField::kCompletions;
constexpr auto kChat = RequestField::kChat;

constexpr std::string_view kNotServed = "is not served";
constexpr std::string_view kTextOnly = "is not served: the model reads and writes text only";
constexpr std::string_view kNoTools = "is not served: answers hold no tool calls";
constexpr std::string_view kNoGrammar = "is not served: answers cannot be bound to a grammar";

constexpr auto kFields = std::to_array<RequestField>({
    {"model", kBoth, kHonoured},
    {"prompt", kText, kHonoured},
    {"messages", kChat, kHonoured},
    {"n", kBoth, kHonoured},
    {"stream", kBoth, kHonoured},
    {"stream_options", kBoth, kHonoured},
    {"max_tokens", kBoth, kHonoured},
    {"max_completion_tokens", kChat, kHonoured},
    {"echo", kText, kHonoured},
    {"logprobs", kBoth, kHonoured},
    {"top_logprobs", kChat, kHonoured},
    {"logit_bias", kBoth, kHonoured},
    {"stop", kBoth, kHonoured},
    {"seed", kBoth, kHonoured},
    {"cache_salt", kBoth, kHonoured},
    {"include_metrics", kBoth, kHonoured},
    {"chat_template_kwargs", kChat, kHonoured},
    {"reasoning_effort", kChat, kHonoured},
    {"add_generation_prompt", kChat, kHonoured},
    // Those that SamplingOptions has.
    {"temperature", kBoth, kHonoured, {}, {}, "temperature"},
    {"top_p", kBoth, kHonoured, {}, {}, "top_p"},
    {"top_k", kBoth, kHonoured, {}, {}, "top_k"},
    {"min_p", kBoth, kHonoured, {}, {}, "min_p"},
    {"presence_penalty", kBoth, kHonoured, {}, {}, "presence_penalty"},
    {"frequency_penalty", kBoth, kHonoured, {}, {}, "frequency_penalty"},
    {"repetition_penalty", kBoth, kHonoured, {}, {}, "repetition_penalty"},
    {"min_tokens", kBoth, kHonoured, {}, {}, "min_tokens"},
    {"ignore_eos", kBoth, kHonoured, {}, {}, "ignore_eos"},
    {"stop_token_ids", kBoth, kHonoured, {}, {}, "stop_token_ids"},
    {"include_stop_str_in_output", kBoth, kHonoured, {}, {}, "include_stop"},
    {"skip_special_tokens", kBoth, kHonoured, {}, {}, "skip_special_tokens"},
    // What would change the answer.
    {"audio", kChat, kRefused, kTextOnly},
    {"modalities", kChat, kRefused, kTextOnly, R"(["text"])"},
    {"mm_processor_kwargs", kBoth, kRefused, kTextOnly, "{}"},
    {"tools", kChat, kRefused, kNoTools, "[]"},
    {"functions", kChat, kRefused, kNoTools, "[]"},
    {"web_search_options", kChat, kRefused, kNotServed},
    {"prediction", kChat, kRefused, kNotServed},
    {"moderation", kChat, kRefused, kNotServed},
    {"verbosity", kChat, kRefused, "is not served: say it in the prompt", R"("medium")"},
    {"suffix", kText, kRefused, "is not served: the answer goes on behind the prompt", R"("")"},
    {"best_of", kText, kRefused, "is not served beyond 1: ask for n and choose", "1"},
    {"use_beam_search", kBoth, kRefused, kNotServed, "false"},
    {"length_penalty", kBoth, kRefused, kNotServed, "1.0"},
    {"response_format", kBoth, kRefused, kNoGrammar, R"({"type":"text"})"},
    {"structured_outputs", kBoth, kRefused, kNoGrammar, "{}"},
    {"guided_json", kBoth, kRefused, kNoGrammar},
    {"guided_regex", kBoth, kRefused, kNoGrammar},
    {"guided_choice", kBoth, kRefused, kNoGrammar},
    {"guided_grammar", kBoth, kRefused, kNoGrammar},
    {"chat_template", kChat, kRefused, "is not served: a template belongs to a task"},
    {"documents", kChat, kRefused, kNotServed, "[]"},
    {"continue_final_message", kChat, kRefused, "is not served: send the rendered text to /v1/completions",
     "false"},
    {"echo", kChat, kRefused, "is not served for chats", "false"},
    {"add_special_tokens", kText, kRefused, "is always true: send token ids for another form", "true"},
    {"add_special_tokens", kChat, kRefused, "is always false: the template writes special tokens", "false"},
    {"prompt_logprobs", kBoth, kRefused, "is not served: /v1/completions has echo with logprobs"},
    {"return_token_ids", kBoth, kRefused, kNotServed, "false"},
    {"return_tokens_as_token_ids", kBoth, kRefused, kNotServed, "false"},
    {"logits_processors", kBoth, kRefused, kNotServed, "[]"},
    {"allowed_token_ids", kBoth, kRefused, kNotServed, "[]"},
    {"bad_words", kBoth, kRefused, "is not served: the gRPC interface has bad_words_ids", "[]"},
    {"truncate_prompt_tokens", kBoth, kRefused, "is not served: nothing is cut off"},
    // What changes none.
    {"user", kBoth, kIgnored},
    {"metadata", kBoth, kIgnored},
    {"store", kBoth, kIgnored},
    {"service_tier", kBoth, kIgnored},
    {"safety_identifier", kBoth, kIgnored},
    {"prompt_cache_key", kBoth, kIgnored},
    {"prompt_cache_retention", kBoth, kIgnored},
    {"prompt_cache_options", kChat, kIgnored},
    {"tool_choice", kChat, kIgnored},
    {"function_call", kChat, kIgnored},
    {"parallel_tool_calls", kChat, kIgnored},
    {"include_reasoning", kChat, kIgnored},
    {"priority", kBoth, kIgnored},
    {"request_id", kBoth, kIgnored},
    {"spaces_between_special_tokens", kBoth, kIgnored},
    {"detokenize", kBoth, kIgnored},
});

// A value of the same meaning in another spelling (1 and 1.0) is the same.
bool AsksForNothing(const RequestField& field, const Json& value) {
  return !field.nothing.empty() && value == Json::parse(field.nothing);
}

}  // namespace

std::span<const RequestField> RequestFields() {
  return kFields;
}

const RequestField* FindField(ApiKind kind, std::string_view name) {
  const int place = kind == ApiKind::kChat ? RequestField::kChat : RequestField::kCompletions;
  const auto at = std::find_if(kFields.begin(), kFields.end(), [&](const RequestField& field) {
    return field.name == name && (field.place & place) != 0;
  });
  return at == kFields.end() ? nullptr : &*at;
}

absl::Status SortFields(ApiKind kind, const Json& body, std::vector<std::string>& ignored) {
  for (const auto& [name, value] : body.items()) {
    if (value.is_null()) continue;
    const RequestField* const field = FindField(kind, name);
    if (field == nullptr || field->use == FieldUse::kIgnored) {
      ignored.push_back(name);
    } else if (field->use == FieldUse::kRefused && !AsksForNothing(*field, value)) {
      return FieldError(field->name, field->note);
    }
  }
  return absl::OkStatus();
}

}  // namespace guildhall
