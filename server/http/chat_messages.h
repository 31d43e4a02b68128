// `messages` of a chat in OpenAI's form to those of the protocol.
#pragma once

#include "absl/status/status.h"
#include "base/json.h"
#include "guildhall/v1/inference.pb.h"

namespace guildhall {

// INVALID_ARGUMENT with the path in `messages` where something has the wrong type; what the values mean is
// checked where the protocol's are.
absl::Status ReadMessages(const Json& messages, v1::ChatInput& chat);

}  // namespace guildhall
