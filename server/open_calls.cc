#include "server/open_calls.h"

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "server/status_mapping.h"

namespace guildhall {

OpenCalls::Ticket::~Ticket() {
  const std::lock_guard lock(calls_.mutex_);
  calls_.tickets_.erase(place_);
}

void OpenCalls::Ticket::BeginWrite() {
  write_began_ns_.store(absl::GetCurrentTimeNanos(), std::memory_order_relaxed);
}

absl::StatusOr<std::unique_ptr<OpenCalls::Ticket>> OpenCalls::Enter(grpc::ServerContextBase& context) {
  auto ticket = std::make_unique<Ticket>(*this, context);
  {
    const std::lock_guard lock(mutex_);
    ticket->place_ = tickets_.insert(tickets_.end(), ticket.get());
    if (static_cast<int64_t>(tickets_.size()) <= capacity_) return ticket;
  }
  return WithRetry(absl::ResourceExhaustedError(
                       StrCat("the server has its limit of ", capacity_, " requests open; try again later")),
                   absl::Seconds(1));
}

void OpenCalls::CancelStalled(absl::Duration limit) {
  const int64_t oldest = absl::GetCurrentTimeNanos() - absl::ToInt64Nanoseconds(limit);
  const std::lock_guard lock(mutex_);
  for (Ticket* ticket : tickets_) {
    const int64_t began = ticket->write_began_ns_.load(std::memory_order_relaxed);
    if (began != 0 && began < oldest) ticket->context_.TryCancel();
  }
}

int64_t OpenCalls::open() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(tickets_.size());
}

}  // namespace guildhall
