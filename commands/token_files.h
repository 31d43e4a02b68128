// Token sequences for the commands that run a model over given texts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "text/folder.h"

namespace guildhall {

// One array element of a tokens file: [..ids..] or {"tokens": [...], "task": NAME, "adapters": [...]}.
struct TokenSequence {
  std::vector<int32_t> tokens;
  std::string task;  // empty: none
  struct Use {
    std::string name;
    float scale = 1.0f;
  };
  std::vector<Use> adapters;
};

// A JSON array; INVALID_ARGUMENT and OUT_OF_RANGE name the file, the element, what was expected and found.
absl::StatusOr<std::vector<TokenSequence>> ReadTokensFile(const std::string& path, const ModelSpec& spec);

// A text file, encoded by the tokenizer of the model folder's assets with the special tokens
// that it adds by itself: as one sequence (longer than the context: an error),
// or each line that is not empty as its own, cut where the context ends.
absl::StatusOr<std::vector<TokenSequence>> ReadTextFile(const std::string& path, const TextAssets& assets,
                                                        const ModelSpec& spec, bool by_lines);

}  // namespace guildhall
