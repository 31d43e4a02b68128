// A call of a gRPC listener: what all kinds of them have in common. No thread belongs to it.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/call.h"
#include "server/net/connection_table.h"

namespace guildhall {

using CallContext = grpc::GenericCallbackServerContext;

// The credentials that came with a call.
std::optional<std::string> AuthorizationOf(const CallContext& context);

// Owned by gRPC from Door::CreateReactor on, and gone after OnDone. The functions of gRPC's reactor
// run on gRPC's threads: they never wait.
class GrpcCall : public grpc::ServerGenericBidiReactor, public Call {
 public:
  GrpcCall(CallContext& context, ConnectionTable::Ticket ticket)
      : context_(context), ticket_(std::move(ticket)) {}

  absl::Time deadline() const override;
  bool cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
  void Cancel() override;
  void OnCancelled(std::function<void()> listener) override;
  std::string peer() const override { return context_.peer(); }
  std::optional<std::string> authorization() const override { return AuthorizationOf(context_); }

  // Ends a call that has kept the server waiting for its client; nothing where it has not. From any
  // thread, while it is known to live.
  virtual void TurnAway(const absl::Status& status) = 0;

  void OnCancel() final;
  void OnDone() final;

 protected:
  // The client is gone, or Cancel was called.
  virtual void Cancelled() {}
  // Nothing happens to the call any more.
  virtual void Ended() {}
  // It ends with `status` before anything of it was served.
  void CountRefusal(const absl::Status& status) const {
    if (absl::IsResourceExhausted(status)) ticket_.CountRefusal();
  }

 private:
  CallContext& context_;
  ConnectionTable::Ticket ticket_;
  std::atomic<bool> cancelled_{false}, cancelled_here_{false};
  std::mutex listener_mutex_;
  std::function<void()> listener_;
};

// A call that is told why it is not served.
class RefusedCall final : public GrpcCall {
 public:
  RefusedCall(CallContext& context, ConnectionTable::Ticket ticket, const absl::Status& status);
  void TurnAway(const absl::Status&) override {}
};

}  // namespace guildhall
