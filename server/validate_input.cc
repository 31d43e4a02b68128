// What a prompt may look like: text, chat messages, token ids.
#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/validate.h"

namespace guildhall {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr int kMaxToolCalls = 256;
// Of all objects in one JSON text together.
constexpr size_t kMaxKeys = 16'384;
// The template's own arguments, which no request may put in their place.
constexpr std::array<std::string_view, 3> kReservedVariables = {"messages", "tools", "add_generation_prompt"};

// Its depth is bounded where it was parsed.
size_t CountKeys(const Json& json) {
  size_t keys = json.is_object() ? json.size() : 0;
  if (!json.is_structured()) return 0;
  for (const Json& inner : json) keys += CountKeys(inner);
  return keys;
}

// `text` as JSON of the kind that is wanted.
absl::StatusOr<Json> ParseField(const std::string& text, const std::string& field, bool array) {
  JsonLimits limits;
  limits.max_depth = 48;
  auto json = ParseJson(text, "JSON", limits);
  if (!json.ok()) return FieldError(field, std::string(json.status().message()));
  if (array ? !json->is_array() : !json->is_object()) {
    return FieldError(field,
                      StrCat("expected a JSON ", array ? "array" : "object", ", found ", json->type_name()));
  }
  if (const size_t keys = CountKeys(*json); keys > kMaxKeys) {
    return FieldError(field, StrCat("expected at most ", kMaxKeys, " keys, found ", keys));
  }
  return json;
}

absl::StatusOr<Json> ToolCallJson(const v1::ToolCall& call, const std::string& field) {
  if (call.name().empty() || call.name().size() > kMaxNameBytes) {
    return FieldError(field + ".name",
                      StrCat("expected 1 to ", kMaxNameBytes, " bytes, found ", call.name().size()));
  }
  Json arguments = Json::object();
  if (!call.arguments_json().empty()) {
    GH_ASSIGN_OR_RETURN(arguments, ParseField(call.arguments_json(), field + ".arguments_json", false));
  }
  Json json = Json::object();
  if (!call.id().empty()) json["id"] = call.id();
  json["type"] = "function";
  json["function"]["name"] = call.name();
  json["function"]["arguments"] = std::move(arguments);
  return json;
}

absl::StatusOr<Json> MessageJson(const v1::ChatMessage& message, const std::string& field) {
  if (message.role().empty() || message.role().size() > kMaxNameBytes) {
    return FieldError(field + ".role", StrCat("expected 1 to ", kMaxNameBytes,
                                              " bytes such as \"user\", found ", message.role().size()));
  }
  if (message.tool_calls_size() > kMaxToolCalls) {
    return FieldError(field + ".tool_calls",
                      StrCat("expected at most ", kMaxToolCalls, ", found ", message.tool_calls_size()));
  }
  Json json = Json::object();
  json["role"] = message.role();
  json["content"] = message.content();
  if (message.has_name()) json["name"] = message.name();
  if (message.has_tool_call_id()) json["tool_call_id"] = message.tool_call_id();
  for (int i = 0; i < message.tool_calls_size(); ++i) {
    GH_ASSIGN_OR_RETURN(Json call,
                        ToolCallJson(message.tool_calls(i), StrCat(field, ".tool_calls[", i, "]")));
    json["tool_calls"].push_back(std::move(call));
  }
  return json;
}

absl::StatusOr<PromptInput> ChatInput(const v1::ChatInput& chat, const ServedLimits& limits) {
  if (chat.messages_size() == 0)
    return FieldError("chat.messages", "expected at least one message, found none");
  if (chat.messages_size() > limits.config.chat_messages) {
    return FieldError("chat.messages", StrCat("expected at most ", limits.config.chat_messages,
                                              " messages, found ", chat.messages_size()));
  }
  ChatPrompt prompt;
  Json messages = Json::array();
  for (int i = 0; i < chat.messages_size(); ++i) {
    GH_ASSIGN_OR_RETURN(Json message, MessageJson(chat.messages(i), StrCat("chat.messages[", i, "]")));
    prompt.has_system |= chat.messages(i).role() == "system" || chat.messages(i).role() == "developer";
    messages.push_back(std::move(message));
  }
  prompt.messages_json = DumpJson(messages);
  if (chat.has_tools_json()) {
    GH_ASSIGN_OR_RETURN(const Json tools, ParseField(chat.tools_json(), "chat.tools_json", true));
    if (!tools.empty()) prompt.tools_json = chat.tools_json();
  }
  if (chat.has_template_variables_json()) {
    const std::string field = "chat.template_variables_json";
    GH_ASSIGN_OR_RETURN(const Json variables, ParseField(chat.template_variables_json(), field, false));
    for (const std::string_view name : kReservedVariables) {
      if (variables.contains(std::string(name)))
        return FieldError(field, StrCat("\"", name, "\" has a field of its own"));
    }
    prompt.variables_json = chat.template_variables_json();
  }
  prompt.add_generation_prompt = !chat.has_add_generation_prompt() || chat.add_generation_prompt();
  return PromptInput(std::move(prompt));
}

absl::StatusOr<PromptInput> IdsInput(const v1::TokenIds& ids, const ServedLimits& limits) {
  if (ids.ids_size() == 0)
    return FieldError("token_ids.ids", "the prompt is empty; expected at least one token id");
  for (int i = 0; i < ids.ids_size(); ++i) {
    if (ids.ids(i) < 0 || ids.ids(i) >= limits.vocabulary) {
      return FieldError(StrCat("token_ids.ids[", i, "]"),
                        StrCat("expected 0 to ", limits.vocabulary - 1, ", found ", ids.ids(i)));
    }
  }
  return PromptInput(std::vector<int32_t>(ids.ids().begin(), ids.ids().end()));
}

template <typename Request>
absl::StatusOr<PromptInput> InputOf(const Request& request, const ServedLimits& limits) {
  switch (request.input_case()) {
    case Request::kText:
      if (request.text().empty()) return FieldError("text", "the prompt is empty");
      return PromptInput(request.text());
    case Request::kChat:
      return ChatInput(request.chat(), limits);
    case Request::kTokenIds:
      return IdsInput(request.token_ids(), limits);
    default:
      return FieldError("input", "expected one of text, chat and token_ids, found none");
  }
}

}  // namespace

absl::StatusOr<PromptInput> ValidateInput(const v1::GenerateRequest& request, const ServedLimits& limits) {
  return InputOf(request, limits);
}

absl::StatusOr<PromptInput> ValidateInput(const v1::TokenizeRequest& request, const ServedLimits& limits) {
  return InputOf(request, limits);
}

}  // namespace guildhall
