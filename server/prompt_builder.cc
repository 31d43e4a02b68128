#include "server/prompt_builder.h"

#include <variant>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

Json Message(const char* role, const std::string& content) {
  Json message = Json::object();
  message["role"] = role;
  message["content"] = content;
  return message;
}

absl::Status NoTokenizer() {
  return PreconditionError("TOKENIZER", "model", "the model folder has no tokenizer: send token_ids");
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> TemplateOf(const Task& task, const TextAssets& text,
                                                               bool tools) {
  if (task.chat_template != nullptr) return task.chat_template;
  auto inherited = text.SelectTemplate("", tools);
  if (inherited.ok()) return inherited;
  return PreconditionError("CHAT_TEMPLATE", "model", std::string(inherited.status().message()));
}

absl::StatusOr<std::string> Variables(const TextAssets& text, const std::string& extra) {
  GH_ASSIGN_OR_RETURN(Json variables, ParseJson(text.TokenVariablesJson(), "token variables"));
  if (!extra.empty()) {
    GH_ASSIGN_OR_RETURN(const Json more, ParseJson(extra, "template_variables_json"));
    for (const auto& [name, value] : more.items()) variables[name] = value;
  }
  return DumpJson(variables);
}

absl::StatusOr<std::string> Render(const Task& task, const ChatPrompt& chat, const TextAssets& text,
                                   const char* field) {
  GH_ASSIGN_OR_RETURN(const auto chat_template, TemplateOf(task, text, !chat.tools_json.empty()));
  std::string messages = chat.messages_json;
  if (!task.system_prompt.empty() && !chat.has_system) {
    messages = StrCat("[", DumpJson(Message("system", task.system_prompt)), ",", messages.substr(1));
  }
  GH_ASSIGN_OR_RETURN(const std::string variables, Variables(text, chat.variables_json));
  RenderArgs args;
  args.messages_json = messages;
  args.tools_json = chat.tools_json;
  args.add_generation_prompt = chat.add_generation_prompt;
  args.variables_json = variables;
  auto rendered = chat_template->Render(args);
  // Whatever went wrong, it is these messages that the template cannot render: the same call fails again.
  if (!rendered.ok()) return FieldError(field, std::string(rendered.status().message()));
  return rendered;
}

absl::StatusOr<BuiltPrompt> Encode(std::string prompt, bool add_special, const TextAssets& text,
                                   const char* field) {
  auto ids = text.tokenizer->Encode(prompt, add_special);
  if (!ids.ok()) return FieldError(field, std::string(ids.status().message()));
  if (ids->empty()) return FieldError(field, "the prompt has no tokens");
  return BuiltPrompt{*std::move(ids), std::move(prompt)};
}

absl::StatusOr<BuiltPrompt> Build(const Task& task, const PromptInput& input, const TextAssets& text) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&input)) return BuiltPrompt{*ids, ""};
  if (text.tokenizer == nullptr) return NoTokenizer();
  if (const auto* chat = std::get_if<ChatPrompt>(&input)) {
    GH_ASSIGN_OR_RETURN(std::string prompt, Render(task, *chat, text, "chat"));
    return Encode(std::move(prompt), false, text, "chat");
  }
  const std::string& plain = std::get<std::string>(input);
  if (!task.text_is_chat) return Encode(plain, true, text, "text");
  ChatPrompt chat;
  chat.messages_json = DumpJson(Json::array({Message("user", plain)}));
  GH_ASSIGN_OR_RETURN(std::string prompt, Render(task, chat, text, "text"));
  return Encode(std::move(prompt), false, text, "text");
}

const char* FieldOf(const PromptInput& input) {
  constexpr const char* kFields[] = {"text", "chat", "token_ids"};
  return kFields[input.index()];
}

}  // namespace

absl::StatusOr<BuiltPrompt> BuildPrompt(const Task& task, const PromptInput& input, const TextAssets& text,
                                        const ServedLimits& limits) {
  GH_ASSIGN_OR_RETURN(BuiltPrompt prompt, Build(task, input, text));
  const auto tokens = static_cast<int64_t>(prompt.ids.size());
  if (tokens > limits.max_prompt_tokens) {
    return WithField(
        absl::OutOfRangeError(StrCat("the prompt has ", tokens, " tokens, the limit is ",
                                     limits.max_prompt_tokens, "; nothing is cut off, send less")),
        FieldOf(input));
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
