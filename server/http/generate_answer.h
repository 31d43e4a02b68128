// The answer to one request for text: one Generate call for each choice, and one HTTP answer of them all.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/memory_account.h"
#include "server/call_threads.h"
#include "server/deployment.h"
#include "server/generate_call.h"
#include "server/http/choice.h"
#include "server/http/http_call.h"
#include "server/http/read_request.h"

namespace guildhall {

// Thread-safe. It lives as long as a choice of it does. A choice
// that fails ends the others, and the answer is its error.
class GenerateAnswer final : public std::enable_shared_from_this<GenerateAnswer> {
 public:
  // Where it runs; all of it outlives it.
  struct Room {
    GenerateCalls& generate;
    CallThreads& threads;
    absl::Duration comment;  // between signs of life in a stream
  };
  GenerateAnswer(std::shared_ptr<HttpCall> call, ApiRequest request,
                 std::shared_ptr<const Deployment> deployment, const Room& room);

  // On a thread that may wait, as GenerateCalls::Start does; the rest comes by itself.
  void Begin();

 private:
  class Sink;  // of one choice

  struct Waiting {
    std::string text;
    std::function<void(bool)> sent;
  };

  void Launch();
  bool CanLaunch() const;
  void LaunchMore();
  void OnMessage(size_t index, const v1::GenerateResponse& message, std::function<void(bool)> sent);
  void OnFinish(size_t index, const absl::Status& status);
  void SetListener(size_t index, std::function<void()> listener);
  void Fail(absl::Status status);
  void CancelChoices();

  void BeginStream();
  std::string Event(Choice& choice, const v1::GenerateResponse& message);
  std::string LastEvents();
  UsageSum Usage() const;
  void AddServed(const v1::GenerateEnd& end, Json& answer) const;
  std::string Whole();
  void Pump();
  void Sent(bool taken);
  void EndIfOver();
  void Answer();

  const std::shared_ptr<HttpCall> call_;
  const ApiRequest request_;
  const std::shared_ptr<const Deployment> deployment_;
  const Room room_;
  AnswerNames names_;

  std::atomic<bool> cancelled_{false};
  mutable std::mutex mutex_;
  std::vector<Choice> choices_;
  std::vector<std::function<void()>> listeners_;  // of the choices' cancellation
  size_t launched_ = 0, open_ = 0;
  bool launching_ = false;
  bool streams_ = false;  // the head of the stream is sent
  bool answered_ = false;
  absl::Status failure_;
  std::deque<Waiting> queue_;  // of the stream; the first one is being sent if `sending_`
  bool sending_ = false;
  MemoryCharge charge_;  // of what is kept for an answer that is given as a whole
};

}  // namespace guildhall
