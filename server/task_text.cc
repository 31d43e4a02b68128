#include "server/task_text.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/chat_rendering.h"

namespace guildhall {
namespace {

absl::Status CannotChat(const char* key, const char* what, const absl::Status& why) {
  return absl::InvalidArgumentError(StrCat(key, ": ", what, " (", std::string(why.message()),
                                           "); set chat_template or chat_template_file to one that does"));
}

absl::Status CheckChat(const Task& task, const TextAssets& text) {
  ChatPrompt chat;
  chat.messages_json = R"([{"role":"user","content":"?"}])";
  const WorkLimit work;
  const RenderRules rules{text, work};
  if (task.text_is_chat) {
    Task plain = task;
    plain.system_prompt.clear();
    const auto rendered = RenderChat(plain, chat, rules);
    if (!rendered.ok()) {
      return CannotChat("text", "the chat template takes no message of a user alone", rendered.status());
    }
  }
  if (task.system_prompt.empty()) return absl::OkStatus();
  const auto rendered = RenderChat(task, chat, rules);
  if (!rendered.ok()) {
    return CannotChat("system_prompt", "the chat template takes no system message", rendered.status());
  }
  // Templates trim.
  if (absl::StrContains(*rendered, absl::StripAsciiWhitespace(task.system_prompt))) return absl::OkStatus();
  return CannotChat("system_prompt", "the chat template leaves it out",
                    absl::InvalidArgumentError("a system message does not appear in the prompt"));
}

}  // namespace

const TextAssets& ServingText(const TextAssets& base, const AdapterText* adapter) {
  return adapter != nullptr && adapter->assets != nullptr ? *adapter->assets : base;
}

PartialSampling ServingDefaults(const Task& task, const AdapterText* adapter) {
  return adapter == nullptr ? task.defaults : Merge(task.sampling, Merge(adapter->defaults, task.below));
}

bool HasChatTemplate(const Task& task, const TextAssets& text) {
  return text.tokenizer != nullptr && (task.chat_template != nullptr || text.SelectTemplate("", false).ok());
}

absl::Status CheckTaskText(const Task& task, const TextAssets& text) {
  if (HasChatTemplate(task, text)) return CheckChat(task, text);
  if (!task.text_is_chat) return absl::OkStatus();
  const char* const key = task.system_prompt.empty() ? "text" : "system_prompt";
  if (text.tokenizer == nullptr) {
    return absl::InvalidArgumentError(StrCat(key, ": the model folder has no tokenizer"));
  }
  return absl::InvalidArgumentError(StrCat(
      key, ": needs a chat template, and the model folder has none that works (",
      text.SelectTemplate("", false).status().message(), "); set chat_template or chat_template_file"));
}

}  // namespace guildhall
