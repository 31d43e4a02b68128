// One Watch stream of grpc.health.v1.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "server/grpc/grpc_call.h"
#include "server/grpc/health.h"
#include "server/grpc/waiting_calls.h"

namespace guildhall {

// At most one message is on its way; of the states that come meanwhile only the last is told.
class HealthWatch final : public GrpcCall {
 public:
  HealthWatch(CallContext& context, ConnectionTable::Ticket ticket, Health& health, WaitingCalls& waiting);

  // The name that is watched.
  const std::string& service() const { return service_; }
  void Tell(int status);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void TurnAway(const absl::Status& status) override;

 private:
  void Cancelled() override { TurnAway(absl::CancelledError("the client left")); }
  void Ended() override;
  void Send(int status);

  Health& health_;
  WaitingCalls& waiting_;
  WaitingCalls::Place place_;
  std::string service_;
  grpc::ByteBuffer in_, out_;

  std::mutex mutex_;
  bool writing_ = false, finished_ = false;
  std::optional<int> next_;
};

}  // namespace guildhall
