// Every field that requests of OpenAI's interface and vLLM's are known to bring, and what becomes of
// it. The table of docs/http.md is this one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/json.h"

namespace guildhall {

enum class ApiKind { kCompletions, kChat };

enum class FieldUse {
  kHonoured,
  kRefused,  // it would change the answer and is not served: 400, unless its value asks for nothing
  kIgnored,  // it changes no answer: named in the header x-guildhall-ignored
};

struct RequestField {
  // Where it is known.
  enum Place { kCompletions = 1, kChat = 2, kBoth = 3 };

  std::string_view name;
  Place place;
  FieldUse use;
  std::string_view note = {};      // refused: what to do instead
  std::string_view nothing = {};   // refused: the value that asks for nothing, beside null, as JSON
  std::string_view sampling = {};  // honoured: the field of SamplingOptions that takes it as it is
};

std::span<const RequestField> RequestFields();

// Null: it is not known there.
const RequestField* FindField(ApiKind kind, std::string_view name);

// Refuses what is refused, by name, and gives the names of what is ignored: those of the table, and others.
absl::Status SortFields(ApiKind kind, const Json& body, std::vector<std::string>& ignored);

}  // namespace guildhall
