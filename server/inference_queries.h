// The calls of guildhall.v1.Inference that need no engine.
#pragma once

#include "absl/status/status.h"
#include "guildhall/v1/inference.pb.h"
#include "server/call.h"
#include "server/server_state.h"

namespace guildhall {

struct TokenizeRules {
  bool add_special = true;  // to plain text, the tokens that the tokenizer adds by itself
};

// Thread-safe; on the caller's thread. UNAVAILABLE while the server loads or drains; AnswerTokenize: as of
// GenerateCalls::Run for the task and the prompt.
absl::Status AnswerTokenize(const ServerState& state, const v1::TokenizeRequest& request, const Call& call,
                            v1::TokenizeResponse& response, const TokenizeRules& rules = {});
absl::Status AnswerListTasks(const ServerState& state, v1::ListTasksResponse& response);

}  // namespace guildhall
