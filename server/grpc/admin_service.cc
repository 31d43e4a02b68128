#include "server/grpc/admin_service.h"

#include "server/grpc/grpc_call.h"
#include "server/grpc/status_mapping.h"

namespace guildhall {

grpc::Status AdminService::LoadAdapter(grpc::ServerContext* context, const v1::LoadAdapterRequest* request,
                                       grpc::ServerWriter<v1::LoadAdapterResponse>* writer) {
  GrpcSink<v1::LoadAdapterResponse> sink(*writer);
  return ToGrpcStatus(calls_.LoadAdapter(*request, GrpcCall(*context), sink));
}

grpc::Status AdminService::UnloadAdapter(grpc::ServerContext* context,
                                         const v1::UnloadAdapterRequest* request,
                                         v1::UnloadAdapterResponse* response) {
  return ToGrpcStatus(calls_.UnloadAdapter(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::ListAdapters(grpc::ServerContext* context, const v1::ListAdaptersRequest* request,
                                        v1::ListAdaptersResponse* response) {
  return ToGrpcStatus(calls_.ListAdapters(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::PinAdapter(grpc::ServerContext* context, const v1::PinAdapterRequest* request,
                                      v1::PinAdapterResponse* response) {
  return ToGrpcStatus(calls_.PinAdapter(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::PutTask(grpc::ServerContext* context, const v1::PutTaskRequest* request,
                                   v1::PutTaskResponse* response) {
  return ToGrpcStatus(calls_.PutTask(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::DeleteTask(grpc::ServerContext* context, const v1::DeleteTaskRequest* request,
                                      v1::DeleteTaskResponse* response) {
  return ToGrpcStatus(calls_.DeleteTask(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                                     v1::GetStatusResponse* response) {
  return ToGrpcStatus(calls_.GetStatus(*request, GrpcCall(*context), *response));
}

grpc::Status AdminService::Drain(grpc::ServerContext* context, const v1::DrainRequest* request,
                                 v1::DrainResponse* response) {
  return ToGrpcStatus(calls_.Drain(*request, GrpcCall(*context), *response));
}

}  // namespace guildhall
