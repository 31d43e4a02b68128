// The four forms of `prompt`: text, texts, token ids, lists of token ids.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"

namespace guildhall {

struct ReadPrompt {
  std::string path;  // "prompt", or "prompt[2]" of several
  std::variant<std::string, std::vector<int32_t>> input;
};

absl::StatusOr<std::vector<ReadPrompt>> ReadPrompts(const Json& prompt);

}  // namespace guildhall
