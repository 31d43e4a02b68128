// What a prompt may look like: text, chat messages, token ids.
#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/request_json.h"
#include "server/validate.h"

namespace guildhall {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr int kMaxToolCalls = 256;
// What fields of a message are called in templates.
constexpr std::array<std::string_view, 6> kMessageKeys = {"role", "content",      "reasoning_content",
                                                          "name", "tool_call_id", "tool_calls"};
// The template's own arguments, which no request may put in their place.
constexpr std::array<std::string_view, 3> kReservedVariables = {"messages", "tools", "add_generation_prompt"};

absl::StatusOr<Json> ParseField(const std::string& text, const std::string& field) {
  auto json = ParseRequestJson(text);
  if (!json.ok()) return FieldError(field, std::string(json.status().message()));
  return json;
}

absl::Status WrongKind(const std::string& field, const char* expected, const Json& found) {
  return FieldError(field, StrCat("expected ", expected, ", found ", found.type_name()));
}

absl::StatusOr<Json> ParseObject(const std::string& text, const std::string& field) {
  GH_ASSIGN_OR_RETURN(Json json, ParseField(text, field));
  if (!json.is_object()) return WrongKind(field, "a JSON object", json);
  return json;
}

absl::StatusOr<Json> ParseArray(const std::string& text, const std::string& field) {
  GH_ASSIGN_OR_RETURN(Json json, ParseField(text, field));
  if (!json.is_array()) return WrongKind(field, "a JSON array", json);
  return json;
}

absl::StatusOr<Json> ToolCallJson(const v1::ToolCall& call, const std::string& field, ChatPrompt& prompt) {
  if (call.name().empty() || call.name().size() > kMaxNameBytes) {
    return FieldError(field + ".name",
                      StrCat("expected 1 to ", kMaxNameBytes, " bytes, found ", call.name().size()));
  }
  const std::string sent = call.arguments_json().empty() ? "{}" : call.arguments_json();
  GH_ASSIGN_OR_RETURN(Json arguments, ParseField(sent, field + ".arguments_json"));
  if (!arguments.is_object() && !arguments.is_string()) {
    return WrongKind(field + ".arguments_json", "a JSON object or string", arguments);
  }
  prompt.arguments.push_back(sent);
  Json json = Json::object();
  if (!call.id().empty()) json["id"] = call.id();
  json["type"] = "function";
  json["function"]["name"] = call.name();
  json["function"]["arguments"] = std::move(arguments);
  return json;
}

absl::Status CheckPart(const Json& part, const std::string& field) {
  if (!part.is_object())
    return WrongKind(field, "an object such as {\"type\": \"text\", \"text\": \"...\"}", part);
  const auto type = part.find("type");
  if (type == part.end() || *type != "text") {
    return FieldError(field + ".type", StrCat("expected \"text\", found ",
                                              type == part.end() ? "none" : Excerpt(DumpJson(*type)),
                                              "; the model reads text only"));
  }
  const auto text = part.find("text");
  if (text == part.end() || !text->is_string()) return FieldError(field + ".text", "expected a string");
  return absl::OkStatus();
}

// The content as the template reads it first.
absl::StatusOr<Json> ContentJson(const v1::ChatMessage& message, const std::string& field,
                                 ChatPrompt& prompt) {
  if (!message.has_content_json()) {
    if (message.has_content() || message.tool_calls().empty()) return Json(message.content());
    prompt.has_unset_content = true;
    return Json(nullptr);
  }
  const std::string name = field + ".content_json";
  if (message.has_content()) return FieldError(name, "excludes content; send one of them");
  GH_ASSIGN_OR_RETURN(Json content, ParseField(message.content_json(), name));
  if (content.is_null()) return content;
  if (!content.is_array()) return WrongKind(name, "null or an array of parts", content);
  for (size_t i = 0; i < content.size(); ++i) {
    GH_RETURN_IF_ERROR(CheckPart(content[i], StrCat(name, "[", i, "]")));
  }
  prompt.has_parts = true;
  return content;
}

absl::Status AddMore(const v1::ChatMessage& message, const std::string& field, Json& json) {
  GH_ASSIGN_OR_RETURN(Json more, ParseObject(message.more_json(), field));
  for (auto& [key, value] : more.items()) {
    if (std::find(kMessageKeys.begin(), kMessageKeys.end(), key) != kMessageKeys.end()) {
      return FieldError(field, StrCat("\"", key, "\" has a field of its own"));
    }
    json[key] = std::move(value);
  }
  return absl::OkStatus();
}

absl::StatusOr<Json> MessageJson(const v1::ChatMessage& message, const std::string& field,
                                 ChatPrompt& prompt) {
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
  GH_ASSIGN_OR_RETURN(json["content"], ContentJson(message, field, prompt));
  if (message.has_reasoning()) json["reasoning_content"] = message.reasoning();
  if (message.has_name()) json["name"] = message.name();
  if (message.has_tool_call_id()) json["tool_call_id"] = message.tool_call_id();
  for (int i = 0; i < message.tool_calls_size(); ++i) {
    GH_ASSIGN_OR_RETURN(Json call,
                        ToolCallJson(message.tool_calls(i), StrCat(field, ".tool_calls[", i, "]"), prompt));
    json["tool_calls"].push_back(std::move(call));
  }
  if (message.has_more_json()) GH_RETURN_IF_ERROR(AddMore(message, field + ".more_json", json));
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
    GH_ASSIGN_OR_RETURN(Json message,
                        MessageJson(chat.messages(i), StrCat("chat.messages[", i, "]"), prompt));
    prompt.has_system |= chat.messages(i).role() == "system" || chat.messages(i).role() == "developer";
    messages.push_back(std::move(message));
  }
  prompt.messages_json = DumpJson(messages);
  if (chat.has_tools_json()) {
    GH_ASSIGN_OR_RETURN(const Json tools, ParseArray(chat.tools_json(), "chat.tools_json"));
    if (!tools.empty()) prompt.tools_json = chat.tools_json();
  }
  if (chat.has_template_variables_json()) {
    const std::string field = "chat.template_variables_json";
    GH_ASSIGN_OR_RETURN(const Json variables, ParseObject(chat.template_variables_json(), field));
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
