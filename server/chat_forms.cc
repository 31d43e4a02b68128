#include "server/chat_forms.h"

#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "server/request_json.h"

namespace guildhall {
namespace {

std::string JoinedText(const Json& parts) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += "\n";
    text += parts[i]["text"].get<std::string>();
  }
  return text;
}

// `sent`: the arguments as the client wrote them.
void Swap(Json& arguments, const std::string& sent) {
  if (arguments.is_object()) {
    arguments = sent;
    return;
  }
  auto object = ParseRequestJson(arguments.get<std::string>());
  if (object.ok() && object->is_object()) arguments = *std::move(object);
}

}  // namespace

std::vector<ChatForm> ChatForms(const ChatPrompt& chat, bool takes_parts) {
  std::vector<ChatForm> forms;
  for (const bool empty : {false, true}) {
    if (empty && !chat.has_unset_content) continue;
    for (const bool swapped : {false, true}) {
      if (swapped && chat.arguments.empty()) continue;
      forms.push_back({chat.has_parts && !takes_parts, empty, swapped});
    }
  }
  return forms;
}

absl::StatusOr<std::string> MessagesJson(const ChatPrompt& chat, const ChatForm& form) {
  if (!form.joined_parts && !form.empty_content && !form.swapped_arguments) return chat.messages_json;
  GH_ASSIGN_OR_RETURN(Json messages, ParseJson(chat.messages_json, "messages"));
  size_t call_index = 0;
  for (Json& message : messages) {
    Json& content = message["content"];
    if (form.joined_parts && content.is_array()) content = JoinedText(content);
    if (form.empty_content && content.is_null()) content = "";
    if (!form.swapped_arguments || !message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"])
      Swap(call["function"]["arguments"], chat.arguments[call_index++]);
  }
  return DumpJson(messages);
}

}  // namespace guildhall
