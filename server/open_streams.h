// The answers that are being streamed: their number is bounded, and one whose client stops reading is found
// and ended.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/call.h"

namespace guildhall {

// Thread-safe; outlives its tickets.
class OpenStreams {
 public:
  // One open stream; the end of its life ends the registration. The call outlives it.
  class Ticket {
   public:
    Ticket(OpenStreams& streams, Call& call) : streams_(streams), call_(call) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    // Around every write: the call of one that is blocked for longer than the stall limit is cancelled by
    // CancelStalled.
    void BeginWrite();
    void EndWrite() { write_began_ns_.store(0, std::memory_order_relaxed); }
    // Nobody waits for it any more: its call is cancelled, or all are cut off.
    bool over() const { return call_.cancelled() || streams_.cut_off_; }
    // Called when they are cut off. It must not wait.
    void OnCutOff(std::function<void()> listener);

   private:
    friend class OpenStreams;
    OpenStreams& streams_;
    Call& call_;
    std::atomic<int64_t> write_began_ns_{0};  // 0: no write in progress
    std::function<void()> listener_;
    std::list<Ticket*>::iterator place_;
  };

  explicit OpenStreams(int64_t capacity) : capacity_(capacity) {}

  // RESOURCE_EXHAUSTED with a RetryInfo when `capacity` streams are open.
  absl::StatusOr<std::unique_ptr<Ticket>> Enter(Call& call);
  // Cancels the calls whose write has been blocked for `limit`; their handlers see the write fail.
  void CancelStalled(absl::Duration limit);
  // The limit of a drain has passed: what still runs for a call ends.
  void CutOff();
  int64_t open() const;
  // Blocks until none is open. False: `deadline` came first.
  bool WaitUntilEmpty(absl::Time deadline) const;

 private:
  const int64_t capacity_;
  mutable std::mutex mutex_;
  mutable std::condition_variable empty_;
  std::list<Ticket*> tickets_;
  std::atomic<bool> cut_off_{false};
};

}  // namespace guildhall
