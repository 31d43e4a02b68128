// The way back: a bounded stream of token events from the engine thread to one reader.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "engine/request.h"

namespace guildhall {

// One writer (the engine), one reader (the RPC). The engine asks HasRoom() before it schedules the sequence's
// next token: a full stream pauses that sequence and nothing else. The end event always fits.
class TokenStream {
 public:
  explicit TokenStream(size_t capacity);

  using Event = std::variant<TokenEvent, RequestEnd>;

  // Reader. Waits until an event comes or `deadline` passes (nullopt). After RequestEnd there is nothing
  // more.
  std::optional<Event> Pop(absl::Time deadline);
  // `listener` is called by the engine after every event that comes from now on, until the end event or until
  // OnEvent(nullptr), which may be called at any time: none runs once it has returned. It must not call back
  // into the stream. For a reader that takes events by Pop(InfinitePast()), without waiting.
  void OnEvent(std::function<void()> listener);
  // Prompt log-probabilities, complete once the first event has come.
  std::vector<TokenLogprob> TakePromptLogprobs();

  // Reader: asks the engine to stop; the end event follows within one step. kCancelled for a client that went
  // away, kStop for a stop string that the reader found. The first call wins.
  void Cancel(FinishReason reason);

  // Engine. `wake` is called when the reader makes room in a full stream or cancels, so that a sleeping
  // engine looks again. It must not call back into the stream.
  void SetWake(std::function<void()> wake);
  bool HasRoom() const { return Room() > 0; }
  size_t Room() const;  // events; only the engine makes it smaller
  void Push(TokenEvent event);
  void SetPromptLogprobs(std::vector<TokenLogprob> logprobs);
  void End(RequestEnd end);
  std::optional<FinishReason> CancelRequested() const;  // wait-free
  absl::Time LastPop() const;  // when the reader last took an event (at first: creation), for the stall limit

 private:
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<TokenEvent> events_;
  std::optional<RequestEnd> end_;  // apart from the events: it needs no room
  bool ended_ = false;             // the reader has taken the end
  std::function<void()> wake_, listener_;
  std::vector<TokenLogprob> prompt_logprobs_;
  std::atomic<int> cancel_{-1};
  std::atomic<int64_t> last_pop_ns_{0};
};

}  // namespace guildhall
