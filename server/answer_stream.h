// From the engine's events to the messages of one Generate call.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/request.h"
#include "engine/token_stream.h"
#include "guildhall/v1/inference.pb.h"
#include "server/answer_text.h"
#include "server/deployment.h"
#include "server/validate.h"

namespace guildhall {

// How a call ended, for its status and for the log.
struct AnswerSummary {
  absl::Status status;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;
  RequestUsage usage;  // output_tokens as far as the answer goes
  RequestTimings timings;
  std::string text;  // only where the deployment logs prompts
};

// Takes the events of a request as they are there, and gives `start`, `prompt`, `chunk` and `end` messages in
// the order of the protocol. Never waits. One thread at a time.
class AnswerStream {
 public:
  // All of them outlive it.
  static absl::StatusOr<AnswerStream> Create(const Deployment& deployment, const ValidatedRequest& validated,
                                             const Request& request);

  // The next message; nullopt: nothing more has come yet, or ever will.
  std::optional<v1::GenerateResponse> Next();
  // The engine has let go of the request, and Next() has given everything.
  bool ended() const { return ended_ && outbox_.empty(); }
  // Of an answer that has ended.
  AnswerSummary TakeSummary();

  // Nobody takes messages any more: the engine is asked to stop, what it still gives is dropped.
  void ClientLeft();
  // The same, for a fault of the server's own that the call ends with.
  void Fail(absl::Status status);

 private:
  AnswerStream(const Deployment& deployment, const ValidatedRequest& validated, const Request& request,
               AnswerText text);

  std::optional<v1::GenerateResponse> NextOfPrompt();
  void TakePrompt();
  std::optional<v1::GenerateResponse> TakeTokens();
  void AddToken(const TokenEvent& event, v1::GenerateChunk& chunk);
  void FillLogprob(const TokenLogprob& from, bool has_value, v1::Logprob& to) const;
  void End(const RequestEnd& end);
  const std::string* SpecialStop(const RequestEnd& end) const;
  void WriteRest(const RequestEnd& end);
  void WriteEnd(const RequestEnd& end);
  void SetCounts(v1::GenerateEnd& message) const;

  const Deployment* deployment_;
  const ValidatedRequest* validated_;
  const Request* request_;
  AnswerText text_;
  std::deque<v1::GenerateResponse> outbox_;  // the start; at the end, what is left
  std::optional<TokenStream::Event> held_;   // taken from the engine, not yet given
  bool prompt_taken_ = false;
  std::vector<TokenLogprob> prompt_;  // what of it is asked for
  size_t prompt_given_ = 0;
  bool gone_ = false, ended_ = false;
  int32_t drafted_ = 0, accepted_ = 0;  // in the steps of the answer's tokens; of these, in the answer
  absl::Status failure_;                // the server's own
  std::string shown_;
  AnswerSummary summary_;
};

}  // namespace guildhall
