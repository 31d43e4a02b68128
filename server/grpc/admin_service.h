// guildhall.v1.Admin over gRPC: translates, and nothing else.
#pragma once

#include "guildhall/v1/admin.grpc.pb.h"
#include "server/admin_calls.h"

namespace guildhall {

// Thread-safe. The calls outlive the service.
class AdminService final : public v1::Admin::Service {
 public:
  explicit AdminService(const AdminCalls& calls) : calls_(calls) {}

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
  const AdminCalls& calls_;
};

}  // namespace guildhall
