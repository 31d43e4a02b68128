#include "base/work_limit.h"

#include "absl/time/clock.h"

namespace guildhall {

absl::Status WorkLimit::Check() const {
  if (cancelled && cancelled()) return absl::CancelledError("the client cancelled the call");
  if (deadline != absl::InfiniteFuture() && absl::Now() >= deadline) {
    return absl::DeadlineExceededError("the deadline passed before the request was ready to run");
  }
  return absl::OkStatus();
}

}  // namespace guildhall
