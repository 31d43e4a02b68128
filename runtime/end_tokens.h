// The tokens that end an answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "text/folder.h"

namespace guildhall {

// Those of generation_config.json or config.json, and the tokenizer's eos_token: where a chat model was made
// of a base, the end of a turn is often there alone. `configured`, where not empty, is in place of all of
// them: each a token's text or id. `notes` gets a line where the files disagree. INVALID_ARGUMENT: what is
// neither text nor id of a token of the model.
absl::StatusOr<std::vector<int32_t>> EndTokens(const ModelSpec& spec, const TextAssets& text,
                                               const std::vector<std::string>& configured,
                                               std::vector<std::string>& notes);

}  // namespace guildhall
