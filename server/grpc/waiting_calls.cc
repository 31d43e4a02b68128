#include "server/grpc/waiting_calls.h"

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {

void WaitingCalls::Enter(GrpcCall& call, Place& place) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_) TurnAwayFirst(absl::StatusCode::kResourceExhausted);
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
  while (!waiting_.empty() && waiting_.front().since < late)
    TurnAwayFirst(absl::StatusCode::kDeadlineExceeded);
}

// The call lives until it has left, which it does under the same lock.
void WaitingCalls::TurnAwayFirst(absl::StatusCode code) {
  const Entry first = waiting_.front();
  waiting_.pop_front();
  first.place.reset();
  const bool late = code == absl::StatusCode::kDeadlineExceeded;
  first.call.TurnAway(absl::Status(
      code, late ? StrCat(what_, " did not come within ", absl::FormatDuration(limit_))
                 : StrCat("too many calls wait for ", what_, ", and this one for longest; send it at once")));
}

}  // namespace guildhall
