// Examples with known answers, for measuring what a weight format costs.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "checkpoint/model_spec.h"
#include "commands/token_files.h"
#include "text/folder.h"
#include "tools/quality.h"

namespace guildhall {

struct QualityExamples {
  std::vector<QualityExample> examples;
  std::vector<TokenSequence> sequences;  // (examples) the same tokens, with the adapters that serve them
};

// A JSON array. Each element is a conversation whose last answer counts,
//   {"messages": [{"role": ..., "content": ...}], "expected": "the answer", "group": NAME, "adapters":
//   [NAME]},
// rendered by the chat template of `text`, the model folder's, or plain text of which every token counts,
//   {"text": "...", "group": NAME, "adapters": [NAME]}.
// Errors name the file, the element, what was expected and found.
absl::StatusOr<QualityExamples> ReadQualityExamples(const std::string& path, const TextAssets& text,
                                                    const ModelSpec& spec);

}  // namespace guildhall
