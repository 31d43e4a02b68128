#include "server/grpc/inference_service.h"

#include "server/grpc/grpc_call.h"
#include "server/grpc/status_mapping.h"
#include "server/inference_queries.h"

namespace guildhall {

grpc::Status InferenceService::Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                                        grpc::ServerWriter<v1::GenerateResponse>* writer) {
  GrpcCall call(*context);
  GrpcSink<v1::GenerateResponse> sink(*writer);
  return ToGrpcStatus(generate_.Run(*request, call, sink));
}

grpc::Status InferenceService::Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                                        v1::TokenizeResponse* response) {
  return ToGrpcStatus(AnswerTokenize(state_, *request, *response));
}

grpc::Status InferenceService::ListTasks(grpc::ServerContext*, const v1::ListTasksRequest*,
                                         v1::ListTasksResponse* response) {
  return ToGrpcStatus(AnswerListTasks(state_, *response));
}

}  // namespace guildhall
