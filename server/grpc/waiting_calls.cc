#include "server/grpc/waiting_calls.h"

#include "absl/time/clock.h"
#include "base/str_cat.h"

namespace guildhall {

void WaitingCalls::Enter(GrpcCall& call, Place& place) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_) {
    TurnAwayFirst(absl::ResourceExhaustedError(
        StrCat("too many calls wait for ", what_, ", and this one for longest; send it at once")));
  }
  place = waiting_.insert(waiting_.end(), {call, place, absl::Now()});
}

void WaitingCalls::Leave(Place& place) {
  const std::lock_guard lock(mutex_);
  if (!place) return;
  waiting_.erase(*place);
  place.reset();
}

void WaitingCalls::TurnAwayLate() {
  const std::lock_guard lock(mutex_);
  const absl::Time late = absl::Now() - limit_;
  while (!waiting_.empty() && waiting_.front().since < late) {
    TurnAwayFirst(
        absl::DeadlineExceededError(StrCat(what_, " did not come within ", absl::FormatDuration(limit_))));
  }
}

void WaitingCalls::TurnAwayAll(const absl::Status& status) {
  const std::lock_guard lock(mutex_);
  while (!waiting_.empty()) TurnAwayFirst(status);
}

// The call lives until it has left, which it does under the same lock.
void WaitingCalls::TurnAwayFirst(const absl::Status& status) {
  const Entry first = waiting_.front();
  waiting_.pop_front();
  first.place.reset();
  first.call.TurnAway(status);
}

}  // namespace guildhall
