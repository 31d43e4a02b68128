// guildhall.v1.Admin, and who may call it.
#pragma once

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "guildhall/v1/admin.grpc.pb.h"
#include "server/open_calls.h"
#include "server/server_state.h"

namespace guildhall {

// Takes the time of the longer text, whatever the texts are: a wrong guess tells nothing about the secret but
// its length.
bool SameSecret(std::string_view given, std::string_view secret);

// Thread-safe. The state and the calls outlive the service.
class AdminService final : public v1::Admin::Service {
 public:
  // An empty token lets everybody in (loopback, Unix socket, mutual TLS).
  AdminService(ServerState& state, const OpenCalls& calls, std::string token, absl::Duration drain_limit)
      : state_(state), calls_(calls), token_(std::move(token)), drain_limit_(drain_limit) {}

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;

 private:
  // UNAUTHENTICATED without a token, PERMISSION_DENIED with a wrong one.
  absl::Status CheckToken(const grpc::ServerContext& context) const;

  ServerState& state_;
  const OpenCalls& calls_;
  const std::string token_;
  const absl::Duration drain_limit_;
};

}  // namespace guildhall
