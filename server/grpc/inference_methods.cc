#include "server/grpc/inference_methods.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "guildhall/v1/inference.pb.h"
#include "server/guarded.h"
#include "server/inference_queries.h"

namespace guildhall {
namespace {

class GenerateCall final : public GenerateSink {
 public:
  explicit GenerateCall(RequestCall& call) : call_(call) {}

  void Write(const v1::GenerateResponse& message, std::function<void(bool)> sent) override {
    call_.Send(message, std::move(sent));
  }
  void Finish(const absl::Status& status) override { call_.End(status); }

 private:
  RequestCall& call_;
};

// Returns when the engine has the request; the answer goes on without a thread.
void StartGenerate(GenerateCalls& generate, RequestCall& call) {
  const absl::Status begun = Guarded([&]() -> absl::Status {
    v1::GenerateRequest request;
    GH_RETURN_IF_ERROR(call.ReadMessage(request));
    generate.Start(request, call, std::make_unique<GenerateCall>(call));
    return absl::OkStatus();
  });
  if (!begun.ok()) call.End(begun);
}

}  // namespace

std::vector<GrpcMethod> InferenceMethods(const ServerState& state, GenerateCalls& generate) {
  const std::string service = "/guildhall.v1.Inference/";
  return {
      RequestMethod(service + "Generate", CallKind::kGenerate,
                    [&generate](RequestCall& call) { StartGenerate(generate, call); }),
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
