// From validated input to token ids, by the task's rules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/work_limit.h"
#include "server/task_registry.h"
#include "server/text_gate.h"
#include "server/validate.h"
#include "text/folder.h"

namespace guildhall {

struct BuiltPrompt {
  std::vector<int32_t> ids;
  std::string text;  // what was encoded; empty for token ids
};

// What prompts are built with and within.
struct PromptRules {
  const TextAssets& text;  // whose tokenizer and templates serve the task
  const ServedLimits& limits;
  TextGate& gate;
  const WorkLimit& work;
  bool add_special = true;  // to plain text that is no chat
};

// Runs on the call's thread, which may wait at the gate. INVALID_ARGUMENT with a field: a template that
// refuses the messages or runs out of fuel, an empty result, a text over limits.prompt_bytes. OUT_OF_RANGE:
// more tokens than the limits allow, with the numbers; where the text's size says so already, nothing is
// encoded. FAILED_PRECONDITION: no tokenizer or no chat template in the model folder. CANCELLED,
// DEADLINE_EXCEEDED: the end of the work. UNAVAILABLE: the system gave no thread to render on.
absl::StatusOr<BuiltPrompt> BuildPrompt(const Task& task, const PromptInput& input, const PromptRules& rules);

}  // namespace guildhall
