#include "server/grpc/inference_methods.h"

#include "guildhall/v1/inference.pb.h"
#include "server/inference_queries.h"

namespace guildhall {

std::vector<GrpcMethod> InferenceMethods(const ServerState& state, GenerateCalls& generate) {
  const std::string service = "/guildhall.v1.Inference/";
  return {
      StreamMethod<v1::GenerateRequest, v1::GenerateResponse>(
          service + "Generate", CallKind::kGenerate,
          [&generate](const auto& request, Call& call, GenerateSink& sink) {
            return generate.Run(request, call, sink);
          }),
      UnaryMethod<v1::TokenizeRequest, v1::TokenizeResponse>(
          service + "Tokenize", CallKind::kQuery,
          [&state](const auto& request, Call& call, auto& response) {
            return AnswerTokenize(state, request, call, response);
          }),
      UnaryMethod<v1::ListTasksRequest, v1::ListTasksResponse>(
          service + "ListTasks", CallKind::kQuery,
          [&state](const auto&, Call&, auto& response) { return AnswerListTasks(state, response); }),
  };
}

}  // namespace guildhall
