// Chat messages to the text of a prompt, by the task's template or the model folder's.
#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/civil_time.h"
#include "base/work_limit.h"
#include "server/task_registry.h"
#include "server/validate.h"
#include "text/folder.h"

namespace guildhall {

struct RenderRules {
  const TextAssets& text;
  const WorkLimit& work;
  std::optional<absl::CivilSecond> now = {};  // what strftime_now tells; unset: the local time of the call
};

// The messages behind the task's system prompt. A template that cannot take them as they were sent gets the
// other forms of chat_forms.h; where none renders the first error is returned. FAILED_PRECONDITION: there is
// no template. Else the errors of ChatTemplate::Render.
absl::StatusOr<std::string> RenderChat(const Task& task, const ChatPrompt& chat, const RenderRules& rules);

}  // namespace guildhall
