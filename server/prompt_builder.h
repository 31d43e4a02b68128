// From validated input to token ids, by the task's rules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/task_registry.h"
#include "server/validate.h"
#include "text/folder.h"

namespace guildhall {

struct BuiltPrompt {
  std::vector<int32_t> ids;
  std::string text;  // what was encoded; empty for token ids
};

// Runs on the RPC's thread; pure. INVALID_ARGUMENT with a field: a template that refuses the messages or runs
// out of fuel, an empty result. OUT_OF_RANGE: more tokens than the limits allow, with the numbers.
// FAILED_PRECONDITION: no tokenizer or no chat template in the model folder.
absl::StatusOr<BuiltPrompt> BuildPrompt(const Task& task, const PromptInput& input, const TextAssets& text,
                                        const ServedLimits& limits);

}  // namespace guildhall
