#include "server/http/prompt_forms.h"

#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/http/json_values.h"

namespace guildhall {
namespace {

constexpr char kExpected[] = "text, token ids, or a list of one of them";

absl::StatusOr<ReadPrompt> ReadIds(const Json& ids, const std::string& path) {
  std::vector<int32_t> read;
  read.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    // The path is made where it is needed: there may be millions.
    auto id = TokenOf(ids[i], path);
    if (!id.ok()) return TokenOf(ids[i], StrCat(path, "[", i, "]")).status();
    read.push_back(*id);
  }
  return ReadPrompt{path, std::move(read)};
}

absl::StatusOr<ReadPrompt> ReadOne(const Json& prompt, const std::string& path) {
  if (prompt.is_string()) return ReadPrompt{path, prompt.get<std::string>()};
  if (prompt.is_array()) return ReadIds(prompt, path);
  return WrongValue(path, kExpected, prompt);
}

}  // namespace

absl::StatusOr<std::vector<ReadPrompt>> ReadPrompts(const Json& prompt) {
  std::vector<ReadPrompt> prompts;
  const bool several =
      prompt.is_array() && !prompt.empty() && (prompt[0].is_string() || prompt[0].is_array());
  if (!several) {
    if (prompt.is_array() && prompt.empty())
      return FieldError("prompt", "expected a prompt, found an empty list");
    GH_ASSIGN_OR_RETURN(ReadPrompt one, ReadOne(prompt, "prompt"));
    prompts.push_back(std::move(one));
    return prompts;
  }
  for (size_t i = 0; i < prompt.size(); ++i) {
    GH_ASSIGN_OR_RETURN(ReadPrompt one, ReadOne(prompt[i], StrCat("prompt[", i, "]")));
    prompts.push_back(std::move(one));
  }
  return prompts;
}

}  // namespace guildhall
