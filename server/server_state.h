// What the services share: whether the server serves, and with what.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/deployment.h"

namespace guildhall {

// Thread-safe. loading -> serving -> draining; there is no way back.
class ServerState {
 public:
  enum class Phase { kLoading, kServing, kDraining };

  void Publish(std::shared_ptr<const Deployment> deployment);
  // UNAVAILABLE with a RetryInfo while loading and draining.
  absl::StatusOr<std::shared_ptr<const Deployment>> ForRequest() const;
  // Null while loading.
  std::shared_ptr<const Deployment> deployment() const;
  Phase phase() const;

  // New requests are refused from now on, and WaitForDrain returns. The first call's limit counts; a call
  // beside it returns when that one has done it.
  void BeginDrain(std::optional<absl::Duration> limit);
  // Called once, by the first BeginDrain, before anybody can see that the server drains. Before the first
  // call from outside.
  void OnDrain(std::function<void()> listener) { on_drain_ = std::move(listener); }
  // Blocks until somebody asks for a drain or `deadline` passes; true: asked for.
  bool WaitForDrain(absl::Time deadline) const;
  // What BeginDrain was given.
  std::optional<absl::Duration> drain_limit() const;

  absl::Time started_at() const { return started_at_; }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Phase phase_ = Phase::kLoading;
  std::shared_ptr<const Deployment> deployment_;
  std::optional<absl::Duration> drain_limit_;
  std::function<void()> on_drain_;
  std::mutex draining_;  // of the call that begins the drain; taken before mutex_
  const absl::Time started_at_ = absl::Now();
};

}  // namespace guildhall
