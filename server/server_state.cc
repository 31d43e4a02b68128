#include "server/server_state.h"

#include <utility>

#include "absl/time/clock.h"
#include "server/error_details.h"

namespace guildhall {

void ServerState::Publish(std::shared_ptr<const Deployment> deployment) {
  const std::lock_guard lock(mutex_);
  deployment_ = std::move(deployment);
  if (phase_ == Phase::kLoading) phase_ = Phase::kServing;
}

absl::StatusOr<std::shared_ptr<const Deployment>> ServerState::ForRequest() const {
  const std::lock_guard lock(mutex_);
  switch (phase_) {
    case Phase::kLoading:
      return WithRetry(absl::UnavailableError("the server is loading the model"), absl::Seconds(5));
    case Phase::kDraining:
      return WithRetry(absl::UnavailableError("the server is shutting down and takes no new requests"),
                       absl::Seconds(1));
    case Phase::kServing:
      break;
  }
  return deployment_;
}

std::shared_ptr<const Deployment> ServerState::deployment() const {
  const std::lock_guard lock(mutex_);
  return deployment_;
}

ServerState::Phase ServerState::phase() const {
  const std::lock_guard lock(mutex_);
  return phase_;
}

void ServerState::BeginDrain(std::optional<absl::Duration> limit) {
  const std::lock_guard one(draining_);
  if (phase() == Phase::kDraining) return;
  if (on_drain_) on_drain_();
  {
    const std::lock_guard lock(mutex_);
    phase_ = Phase::kDraining;
    drain_limit_ = limit;
  }
  changed_.notify_all();
}

bool ServerState::WaitForDrain(absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  const auto draining = [this] { return phase_ == Phase::kDraining; };
  if (deadline == absl::InfiniteFuture()) {
    changed_.wait(lock, draining);
    return true;
  }
  return changed_.wait_until(lock, absl::ToChronoTime(deadline), draining);
}

std::optional<absl::Duration> ServerState::drain_limit() const {
  const std::lock_guard lock(mutex_);
  return drain_limit_;
}

}  // namespace guildhall
