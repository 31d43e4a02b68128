// absl::Status to an answer of HTTP, in the form that clients of OpenAI's interface read.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/http/http_headers.h"

namespace guildhall {

// Errors that have no code of absl::Status: 408, 413, 431.
absl::Status WithHttpStatus(absl::Status status, int http_status);
// 405, which says what is allowed.
absl::Status MethodNotAllowed(std::string_view message, std::string_view allowed);

struct ErrorAnswer {
  int status = 500;
  HttpHeaders headers;  // Retry-After where a retry may help
  std::string body;     // {"error": {"message", "type", "param", "code"}}
};

// The code as of docs/http.md; text and details are those of RichStatus.
ErrorAnswer MakeErrorAnswer(const absl::Status& status);

}  // namespace guildhall
