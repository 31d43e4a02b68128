// What a client of HTTP calls the fields of GenerateRequest.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/http/request_fields.h"

namespace guildhall {

// How one request says what depends on it.
struct FieldNames {
  ApiKind kind = ApiKind::kChat;
  std::string prompt = "prompt";          // "prompt[2]" of several
  std::string max_tokens = "max_tokens";  // or max_completion_tokens

  // "sampling.top_p" is "top_p", "chat.messages[2].content_json[0].type" is "messages[2].content[0].type".
  std::string Of(std::string_view field) const;
};

// The error with the names that the client used, where it names a field.
absl::Status InTermsOf(const FieldNames& names, const absl::Status& status);

}  // namespace guildhall
