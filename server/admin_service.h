// guildhall.v1.Admin, and who may call it.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "guildhall/v1/admin.grpc.pb.h"
#include "server/admin_messages.h"
#include "server/open_calls.h"
#include "server/server_state.h"

namespace guildhall {

// Takes the time of the longer text, whatever the texts are: a wrong guess tells nothing about the secret but
// its length.
bool SameSecret(std::string_view given, std::string_view secret);

// `adapters` and `budget` of a message that has both.
template <typename Response>
void FillAdapters(const Deployment& deployment, Response& response) {
  const std::vector<AdapterInfo> adapters = deployment.adapters->List();
  const auto tasks = deployment.administration->TasksByAdapter();
  for (const AdapterInfo& adapter : adapters) {
    const auto users = tasks.find(adapter.name);
    FillAdapter(adapter, users == tasks.end() ? std::vector<std::string>() : users->second,
                *response.add_adapters());
  }
  if (const ByteBudget* const budget = deployment.adapters->budget()) {
    FillBudget(*budget, adapters, *response.mutable_budget());
  }
}

// Thread-safe. The state and the calls outlive the service.
class AdminService final : public v1::Admin::Service {
 public:
  // An empty token lets everybody in (loopback, Unix socket, mutual TLS).
  AdminService(ServerState& state, const OpenCalls& calls, std::string token, absl::Duration drain_limit)
      : state_(state), calls_(calls), token_(std::move(token)), drain_limit_(drain_limit) {}

  // In adapter_calls.cc.
  grpc::Status LoadAdapter(grpc::ServerContext* context, const v1::LoadAdapterRequest* request,
                           grpc::ServerWriter<v1::LoadAdapterResponse>* writer) override;
  grpc::Status UnloadAdapter(grpc::ServerContext* context, const v1::UnloadAdapterRequest* request,
                             v1::UnloadAdapterResponse* response) override;
  grpc::Status ListAdapters(grpc::ServerContext* context, const v1::ListAdaptersRequest* request,
                            v1::ListAdaptersResponse* response) override;
  grpc::Status PinAdapter(grpc::ServerContext* context, const v1::PinAdapterRequest* request,
                          v1::PinAdapterResponse* response) override;
  grpc::Status PutTask(grpc::ServerContext* context, const v1::PutTaskRequest* request,
                       v1::PutTaskResponse* response) override;
  grpc::Status DeleteTask(grpc::ServerContext* context, const v1::DeleteTaskRequest* request,
                          v1::DeleteTaskResponse* response) override;

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::GetStatusResponse* response) override;
  grpc::Status Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                     v1::DrainResponse* response) override;

 private:
  // The token, and a server that serves: UNAVAILABLE while the model loads, and from the drain on.
  absl::StatusOr<std::shared_ptr<const Deployment>> Enter(const grpc::ServerContext& context) const;
  // UNAUTHENTICATED without a token, PERMISSION_DENIED with a wrong one.
  absl::Status CheckToken(const grpc::ServerContext& context) const;

  ServerState& state_;
  const OpenCalls& calls_;
  const std::string token_;
  const absl::Duration drain_limit_;
};

}  // namespace guildhall
