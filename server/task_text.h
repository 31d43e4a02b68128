// The text side that serves a task, and whether it can.
#pragma once

#include "absl/status/status.h"
#include "engine/sampling_fields.h"
#include "runtime/adapter_text.h"
#include "server/task_registry.h"
#include "text/folder.h"

namespace guildhall {

// The base's, or what the folder of the task's only adapter has in its place. `adapter` may be null.
const TextAssets& ServingText(const TextAssets& base, const AdapterText* adapter);

// What a request of the task begins with: the task's own defaults, the adapter's, those below.
PartialSampling ServingDefaults(const Task& task, const AdapterText* adapter);

// Whether chats of the task can be rendered.
bool HasChatTemplate(const Task& task, const TextAssets& text);

// Whether the task's template shows its system prompt and takes a message of a user, where the task needs
// that. INVALID_ARGUMENT begins with the key of the task that cannot work ("system_prompt: ...").
absl::Status CheckTaskText(const Task& task, const TextAssets& text);

}  // namespace guildhall
