#include "server/prompt_builder.h"

#include <utility>
#include <variant>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/chat_rendering.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

absl::Status NoTokenizer() {
  return PreconditionError("TOKENIZER", "model", "the model folder has no tokenizer: send token_ids");
}

// What is not the fault of the prompt reaches the client as it is; all else fails again when sent again.
absl::Status OfField(const absl::Status& status, const char* field) {
  const bool ended = absl::IsCancelled(status) || absl::IsDeadlineExceeded(status);
  if (ended || absl::IsUnavailable(status)) return status;
  return FieldError(field, std::string(status.message()));
}

absl::StatusOr<std::string> Render(const Task& task, const ChatPrompt& chat, const PromptRules& rules,
                                   const char* field) {
  const size_t bytes = task.system_prompt.size() + chat.messages_json.size() + chat.tools_json.size() +
                       chat.variables_json.size();
  GH_ASSIGN_OR_RETURN(const WorkGate::Pass pass, rules.gate.Enter(bytes, rules.work));
  auto rendered = RenderChat(task, chat, {rules.text, rules.work});
  if (rendered.ok() || absl::IsFailedPrecondition(rendered.status())) return rendered;
  return OfField(rendered.status(), field);
}

absl::Status TooLong(const std::string& how_long, const ServedLimits& limits, const char* field) {
  return WithField(
      absl::OutOfRangeError(StrCat("the prompt has ", how_long, ", the limit is ", limits.max_prompt_tokens,
                                   " tokens; nothing is cut off, send less")),
      field);
}

// Before anything is made of the text.
absl::Status CheckBytes(const std::string& prompt, const PromptRules& rules, const char* field) {
  const ServedLimits& limits = rules.limits;
  if (static_cast<int64_t>(prompt.size()) > limits.config.prompt_bytes) {
    return FieldError(field, StrCat("the prompt has ", prompt.size(), " bytes, limits.prompt_bytes is ",
                                    limits.config.prompt_bytes, "; nothing is cut off, send less"));
  }
  const auto least = static_cast<int64_t>(rules.text.tokenizer->LeastIds(prompt));
  if (least <= limits.max_prompt_tokens) return absl::OkStatus();
  return TooLong(StrCat(prompt.size(), " bytes, which make at least ", least, " tokens"), limits, field);
}

absl::StatusOr<BuiltPrompt> Encode(std::string prompt, bool add_special, const PromptRules& rules,
                                   const char* field) {
  GH_RETURN_IF_ERROR(CheckBytes(prompt, rules, field));
  GH_ASSIGN_OR_RETURN(const WorkGate::Pass pass, rules.gate.Enter(prompt.size(), rules.work));
  EncodeLimits limits;
  limits.max_ids = static_cast<size_t>(rules.limits.max_prompt_tokens);
  limits.work = rules.work;
  auto ids = rules.text.tokenizer->Encode(prompt, add_special, limits);
  if (absl::IsOutOfRange(ids.status())) {
    return TooLong(StrCat("more than ", limits.max_ids, " tokens"), rules.limits, field);
  }
  if (!ids.ok()) return OfField(ids.status(), field);
  if (ids->empty()) return FieldError(field, "the prompt has no tokens");
  return BuiltPrompt{*std::move(ids), std::move(prompt)};
}

absl::StatusOr<BuiltPrompt> Build(const Task& task, const PromptInput& input, const PromptRules& rules) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) return BuiltPrompt{*ids, ""};
  if (rules.text.tokenizer == nullptr) return NoTokenizer();
  if (const auto* chat = std::get_if<ChatPrompt>(&input)) {
    GH_ASSIGN_OR_RETURN(std::string prompt, Render(task, *chat, rules, "chat"));
    return Encode(std::move(prompt), false, rules, "chat");
  }
  const std::string& plain = std::get<std::string>(input);
  if (!task.text_is_chat) return Encode(plain, rules.add_special, rules, "text");
  ChatPrompt chat;
  Json message = Json::object();
  message["role"] = "user";
  message["content"] = plain;
  chat.messages_json = StrCat("[", DumpJson(message), "]");
  GH_ASSIGN_OR_RETURN(std::string prompt, Render(task, chat, rules, "text"));
  return Encode(std::move(prompt), false, rules, "text");
}

const char* FieldOf(const PromptInput& input) {
  constexpr const char* kFields[] = {"text", "chat", "token_ids"};
  return kFields[input.index()];
}

}  // namespace

absl::StatusOr<BuiltPrompt> BuildPrompt(const Task& task, const PromptInput& input,
                                        const PromptRules& rules) {
  GH_ASSIGN_OR_RETURN(BuiltPrompt prompt, Build(task, input, rules));
  const ServedLimits& limits = rules.limits;
  const auto tokens = static_cast<int64_t>(prompt.ids.size());
  if (tokens > limits.max_prompt_tokens) {
    return TooLong(StrCat(tokens, " tokens"), limits, FieldOf(input));
  }
  // A tokenizer may know ids beyond the embedding's rows.
  for (const int32_t id : prompt.ids) {
    if (id < 0 || id >= limits.vocabulary) {
      return FieldError(FieldOf(input), StrCat("the tokenizer gave the id ", id,
                                               ", the model's vocabulary ends at ", limits.vocabulary - 1));
    }
  }
  return prompt;
}

}  // namespace guildhall
