// From the engine's events to the messages of one Generate call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "engine/request.h"
#include "guildhall/v1/inference.pb.h"
#include "server/call.h"
#include "server/server_state.h"
#include "server/validate.h"

namespace guildhall {

using GenerateSink = MessageSink<v1::GenerateResponse>;

// How a call ended, for its status and for the log.
struct AnswerSummary {
  absl::Status status;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;
  RequestUsage usage;  // output_tokens as far as the answer goes
  RequestTimings timings;
  std::string text;  // only where the deployment logs prompts
};

// Pops `request`'s events until its end and writes `prompt`, `chunk` and `end` messages. A client that goes
// away, also while nothing is written, cancels the request; the call returns when the engine has let go of
// it.
AnswerSummary StreamAnswer(const Deployment& deployment, const ValidatedRequest& validated,
                           const Request& request, const Call& call, GenerateSink& sink);

}  // namespace guildhall
