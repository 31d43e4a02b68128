// What the services share: whether the server serves, and with what.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

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

  // New requests are refused from now on, and WaitForDrain returns. The first call's limit counts.
  void BeginDrain(std::optional<absl::Duration> limit);
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
  const absl::Time started_at_ = absl::Now();
};

}  // namespace guildhall
