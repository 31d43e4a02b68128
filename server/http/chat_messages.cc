#include "server/http/chat_messages.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/http/json_values.h"

namespace guildhall {
namespace {

// What answers of others bring along when they are sent back: it says nothing to a template.
constexpr std::array<std::string_view, 3> kOfAnswers = {"refusal", "annotations", "stop_reason"};
constexpr std::array<std::string_view, 7> kKnown = {
    "role", "content", "reasoning_content", "reasoning", "tool_call_id", "tool_calls", "name"};

template <size_t kSize>
bool IsOneOf(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

absl::Status ReadToolCall(const Json& json, const std::string& path, v1::ToolCall& call) {
  GH_RETURN_IF_ERROR(MustBeObject(json, path));
  if (const Json* const id = ValueOf(json, "id")) {
    GH_ASSIGN_OR_RETURN(*call.mutable_id(), StringOf(*id, path + ".id"));
  }
  if (const Json* const type = ValueOf(json, "type"); type != nullptr && *type != "function") {
    return WrongValue(path + ".type", "\"function\"", *type);
  }
  const Json* const function = ValueOf(json, "function");
  if (function == nullptr) return FieldError(path + ".function", "expected an object, found none");
  GH_RETURN_IF_ERROR(MustBeObject(*function, path + ".function"));
  if (const Json* const name = ValueOf(*function, "name")) {
    GH_ASSIGN_OR_RETURN(*call.mutable_name(), StringOf(*name, path + ".function.name"));
  }
  if (const Json* const arguments = ValueOf(*function, "arguments"))
    call.set_arguments_json(DumpJson(*arguments));
  return absl::OkStatus();
}

absl::Status ReadContent(const Json& content, const std::string& path, v1::ChatMessage& message) {
  if (content.is_string()) {
    message.set_content(content.get<std::string>());
    return absl::OkStatus();
  }
  if (!content.is_array()) return WrongValue(path, "a string or an array of parts", content);
  message.set_content_json(DumpJson(content));
  return absl::OkStatus();
}

absl::Status ReadText(const Json& json, const std::string& path, std::string_view key, std::string& to) {
  GH_ASSIGN_OR_RETURN(to, StringOf(*ValueOf(json, key), StrCat(path, ".", key)));
  return absl::OkStatus();
}

absl::Status ReadMessage(const Json& json, const std::string& path, v1::ChatMessage& message) {
  GH_RETURN_IF_ERROR(MustBeObject(json, path));
  const auto has = [&](std::string_view key) { return ValueOf(json, key) != nullptr; };
  if (has("role")) GH_RETURN_IF_ERROR(ReadText(json, path, "role", *message.mutable_role()));
  if (has("name")) GH_RETURN_IF_ERROR(ReadText(json, path, "name", *message.mutable_name()));
  if (has("tool_call_id")) {
    GH_RETURN_IF_ERROR(ReadText(json, path, "tool_call_id", *message.mutable_tool_call_id()));
  }
  const char* const reasoning = has("reasoning_content") ? "reasoning_content" : "reasoning";
  if (has(reasoning)) GH_RETURN_IF_ERROR(ReadText(json, path, reasoning, *message.mutable_reasoning()));
  if (const Json* const content = ValueOf(json, "content")) {
    GH_RETURN_IF_ERROR(ReadContent(*content, path + ".content", message));
  }
  if (const Json* const calls = ValueOf(json, "tool_calls")) {
    GH_RETURN_IF_ERROR(MustBeArray(*calls, path + ".tool_calls"));
    for (size_t i = 0; i < calls->size(); ++i) {
      GH_RETURN_IF_ERROR(
          ReadToolCall((*calls)[i], StrCat(path, ".tool_calls[", i, "]"), *message.add_tool_calls()));
    }
  }
  Json more = Json::object();
  for (const auto& [key, value] : json.items()) {
    if (!value.is_null() && !IsOneOf(kKnown, key) && !IsOneOf(kOfAnswers, key)) more[key] = value;
  }
  if (!more.empty()) message.set_more_json(DumpJson(more));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadMessages(const Json& messages, v1::ChatInput& chat) {
  GH_RETURN_IF_ERROR(MustBeArray(messages, "messages"));
  for (size_t i = 0; i < messages.size(); ++i) {
    GH_RETURN_IF_ERROR(ReadMessage(messages[i], StrCat("messages[", i, "]"), *chat.add_messages()));
  }
  return absl::OkStatus();
}

}  // namespace guildhall
