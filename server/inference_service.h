// guildhall.v1.Inference.
#pragma once

#include <atomic>
#include <cstdint>
#include <random>
#include <string>

#include "guildhall/v1/inference.grpc.pb.h"
#include "server/open_calls.h"
#include "server/server_state.h"

namespace guildhall {

// One thread per open call (gRPC's synchronous API); the number of Generate calls is bounded by `calls`. The
// state and the calls outlive the service.
class InferenceService final : public v1::Inference::Service {
 public:
  InferenceService(ServerState& state, OpenCalls& calls) : state_(state), calls_(calls) {}

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override;
  grpc::Status Tokenize(grpc::ServerContext* context, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override;
  grpc::Status ListTasks(grpc::ServerContext* context, const v1::ListTasksRequest* request,
                         v1::ListTasksResponse* response) override;

 private:
  ServerState& state_;
  OpenCalls& calls_;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace guildhall
