// One Generate call on its way through the engine, to its line in the log. No thread belongs to it.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/memory_account.h"
#include "server/answer_stream.h"
#include "server/answer_threads.h"
#include "server/call.h"
#include "server/generate_sink.h"
#include "server/open_streams.h"
#include "server/request_log.h"
#include "server/server_state.h"
#include "server/validate.h"

namespace guildhall {

// What the engine is asked for, and what it takes.
struct PreparedRequest {
  explicit PreparedRequest(std::shared_ptr<const Deployment> to);

  std::shared_ptr<const Deployment> deployment;
  MemoryCharge charge;  // until the engine has let go of the request
  ValidatedRequest validated;
  std::shared_ptr<Request> request;
  std::string prompt_text;  // only where the deployment logs prompts
};

// Goes on, on a thread of `threads`, when the engine has something for it, when its last message has been
// taken, when its client leaves and when all are cut off. In the end it tells the sink, and is gone.
class Generation final : public std::enable_shared_from_this<Generation> {
 public:
  // What it is given outlives it, the call until the sink has been told the end.
  Generation(const ServerState& state, AnswerThreads& threads, Call& client,
             std::unique_ptr<GenerateSink> sink, uint64_t id, const std::string& task);

  uint64_t id() const { return line_.id; }
  // Whether the log gets its line; before Start.
  void SetLogged(bool logged) { logged_ = logged; }
  // Hands the request to the engine. From then on it ends by itself; where this fails the caller ends it.
  absl::Status Start(std::unique_ptr<OpenStreams::Ticket> ticket, PreparedRequest prepared);
  // Tells the client and the log, once.
  void End(absl::Status status);

 private:
  void Wake();
  void Run();
  // True: it has ended.
  bool Advance();
  void WriteWhatIsThere();
  void Write(const v1::GenerateResponse& message);
  void Sent(bool taken);

  const ServerState& state_;
  AnswerThreads& threads_;
  Call& client_;
  const std::unique_ptr<GenerateSink> sink_;
  const absl::Time begin_;
  RequestLogLine line_;
  bool logged_ = true;
  std::unique_ptr<OpenStreams::Ticket> ticket_;
  std::optional<PreparedRequest> prepared_;
  std::optional<AnswerStream> answer_;

  // Since Run last looked. Not 0: Run is posted or runs, or Start has not come to its end.
  std::atomic<int> wakes_{1};
  std::atomic<bool> writing_{false}, write_failed_{false};
};

}  // namespace guildhall
