#include "server/open_streams.h"

#include "absl/time/clock.h"
#include "base/str_cat.h"
#include "server/error_details.h"

namespace guildhall {

OpenStreams::Ticket::~Ticket() {
  const std::lock_guard lock(streams_.mutex_);
  streams_.tickets_.erase(place_);
  if (streams_.tickets_.empty()) streams_.empty_.notify_all();
}

void OpenStreams::Ticket::BeginWrite() {
  write_began_ns_.store(absl::GetCurrentTimeNanos(), std::memory_order_relaxed);
}

void OpenStreams::Ticket::OnCutOff(std::function<void()> listener) {
  const std::lock_guard lock(streams_.mutex_);
  listener_ = std::move(listener);
}

absl::StatusOr<std::unique_ptr<OpenStreams::Ticket>> OpenStreams::Enter(Call& call) {
  auto ticket = std::make_unique<Ticket>(*this, call);
  {
    const std::lock_guard lock(mutex_);
    ticket->place_ = tickets_.insert(tickets_.end(), ticket.get());
    if (static_cast<int64_t>(tickets_.size()) <= capacity_) return ticket;
  }
  return WithRetry(absl::ResourceExhaustedError(
                       StrCat("the server has its limit of ", capacity_, " requests open; try again later")),
                   absl::Seconds(1));
}

void OpenStreams::CancelStalled(absl::Duration limit) {
  const int64_t oldest = absl::GetCurrentTimeNanos() - absl::ToInt64Nanoseconds(limit);
  const std::lock_guard lock(mutex_);
  for (Ticket* ticket : tickets_) {
    const int64_t began = ticket->write_began_ns_.load(std::memory_order_relaxed);
    if (began != 0 && began < oldest) ticket->call_.Cancel();
  }
}

void OpenStreams::CutOff() {
  const std::lock_guard lock(mutex_);
  cut_off_ = true;
  for (Ticket* ticket : tickets_) {
    if (ticket->listener_) ticket->listener_();
  }
}

int64_t OpenStreams::open() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int64_t>(tickets_.size());
}

bool OpenStreams::WaitUntilEmpty(absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  const auto empty = [this] { return tickets_.empty(); };
  if (deadline != absl::InfiniteFuture()) {
    return empty_.wait_until(lock, absl::ToChronoTime(deadline), empty);
  }
  empty_.wait(lock, empty);
  return true;
}

}  // namespace guildhall
