// The calls that wait for their client: for a bounded time, and a bounded number of them.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/grpc/grpc_call.h"

namespace guildhall {

// Thread-safe; outlives its calls. One that has waited too long ends with DEADLINE_EXCEEDED;
// when there are too many of them, the one that has waited for longest makes room, with
// RESOURCE_EXHAUSTED: whoever sends what it has to say at once is served, however many
// others do not.
class WaitingCalls {
 private:
  struct Entry;

 public:
  // Part of the call; empty: it does not wait.
  using Place = std::optional<std::list<Entry>::iterator>;

  // `what` it waits for, for messages: "the request's message".
  WaitingCalls(std::string what, size_t most, absl::Duration limit)
      : what_(std::move(what)), most_(most), limit_(limit) {}

  // The call may be turned away from then on, until it leaves. It leaves before it is gone.
  void Enter(GrpcCall& call, Place& place);
  void Leave(Place& place);
  // Those that have waited for too long.
  void TurnAwayLate();
  void TurnAwayAll(const absl::Status& status);

 private:
  struct Entry {
    GrpcCall& call;
    Place& place;
    absl::Time since;
  };

  void TurnAwayFirst(const absl::Status& status);

  const std::string what_;
  const size_t most_;
  const absl::Duration limit_;
  std::mutex mutex_;
  std::list<Entry> waiting_;  // in the order that they came in
};

}  // namespace guildhall
