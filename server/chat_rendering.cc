#include "server/chat_rendering.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/chat_forms.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

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
    GH_ASSIGN_OR_RETURN(Json more, ParseJson(extra, "template_variables_json"));
    // Its names differ from each other, so only the few tokens are searched.
    auto& members = variables.get_ref<Json::object_t&>();
    const auto tokens = static_cast<std::ptrdiff_t>(members.size());
    for (auto& [name, value] : more.get_ref<Json::object_t&>()) {
      const auto end = members.begin() + tokens;
      // By a name of its own: clang 14 captures none of a structured binding.
      const auto known =
          std::find_if(members.begin(), end, [&name = name](const auto& it) { return it.first == name; });
      if (known != end) {
        known->second = std::move(value);
      } else {
        members.emplace_back(name, std::move(value));
      }
    }
  }
  return DumpJson(variables);
}

std::string WithSystem(const std::string& messages_json, const std::string& system_prompt) {
  Json message = Json::object();
  message["role"] = "system";
  message["content"] = system_prompt;
  return StrCat("[", DumpJson(message), ",", messages_json.substr(1));
}

}  // namespace

absl::StatusOr<std::string> RenderChat(const Task& task, const ChatPrompt& chat, const RenderRules& rules) {
  GH_ASSIGN_OR_RETURN(const auto chat_template, TemplateOf(task, rules.text, !chat.tools_json.empty()));
  GH_ASSIGN_OR_RETURN(const std::string variables, Variables(rules.text, chat.variables_json));
  RenderArgs args;
  args.tools_json = chat.tools_json;
  args.add_generation_prompt = chat.add_generation_prompt;
  args.variables_json = variables;
  args.work = rules.work;
  args.now = rules.now;
  absl::Status first;
  for (const ChatForm& form : ChatForms(chat, chat_template->TakesParts())) {
    GH_ASSIGN_OR_RETURN(std::string messages, MessagesJson(chat, form));
    if (!task.system_prompt.empty() && !chat.has_system) messages = WithSystem(messages, task.system_prompt);
    args.messages_json = messages;
    auto rendered = chat_template->Render(args);
    // Only what the template made of the messages may come out otherwise.
    if (rendered.ok() || !absl::IsInvalidArgument(rendered.status())) return rendered;
    first.Update(rendered.status());
  }
  return first;
}

}  // namespace guildhall
