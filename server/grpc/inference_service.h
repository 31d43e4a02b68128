// guildhall.v1.Inference over gRPC: translates, and nothing else.
#pragma once

#include "guildhall/v1/inference.grpc.pb.h"
#include "server/generate_call.h"
#include "server/server_state.h"

namespace guildhall {

// One thread per open call (gRPC's synchronous API). What it is given outlives it.
class InferenceService final : public v1::Inference::Service {
 public:
  InferenceService(const ServerState& state, GenerateCalls& generate) : state_(state), generate_(generate) {}

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override;
  grpc::Status Tokenize(grpc::ServerContext* context, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override;
  grpc::Status ListTasks(grpc::ServerContext* context, const v1::ListTasksRequest* request,
                         v1::ListTasksResponse* response) override;

 private:
  const ServerState& state_;
  GenerateCalls& generate_;
};

}  // namespace guildhall
