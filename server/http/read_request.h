// The body of a completion or a chat to the requests of the protocol that it asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "guildhall/v1/inference.pb.h"
#include "server/deployment.h"
#include "server/http/field_names.h"
#include "server/http/request_fields.h"

namespace guildhall {

struct ApiPrompt {
  v1::GenerateRequest request;
  FieldNames names;
  std::string echo;  // what the answer begins with
};

struct ApiRequest {
  ApiKind kind = ApiKind::kChat;
  std::string model;               // as the answer names it
  std::vector<ApiPrompt> prompts;  // one at least
  int64_t n = 1;                   // answers of each
  bool stream = false;
  bool include_usage = false;     // of a stream: in an event of its own
  bool continuous_usage = false;  // of a stream: in each event
  bool logprobs = false;
  bool echo = false;
  bool metrics = false;
  std::optional<uint64_t> seed;      // answer i of a prompt draws from seed + i
  std::vector<std::string> ignored;  // fields that change nothing

  size_t choices() const { return prompts.size() * static_cast<size_t>(n); }
};

// INVALID_ARGUMENT with the field as the client wrote it: of the wrong type, refused, or too many answers.
// NOT_FOUND: no such model. What the values mean is checked where the protocol's are.
absl::StatusOr<ApiRequest> ReadApiRequest(ApiKind kind, const Json& body, const Deployment& deployment,
                                          const HttpConfig& http);

}  // namespace guildhall
