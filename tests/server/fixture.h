// A whole server over a scripted model, on real sockets with ports that the system chooses.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "guildhall/v1/admin.grpc.pb.h"
#include "guildhall/v1/inference.grpc.pb.h"
#include "server/server.h"
#include "tests/server/scripted_model.h"

namespace guildhall {

// The tokenizer and chat template of demo/model, read once.
const TextAssets& DemoText();
// What DemoText's tokenizer makes of `text`, without special tokens.
std::vector<int32_t> Encode(const std::string& text);

// Ports 0, quiet, tasks "tell" (system prompt) and "plain".
ServerConfig TestConfig();

// With the listeners of gRPC, and of HTTP where the configuration wants one.
absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerConfig& config);
// What clients connect to, before the server closes its listeners. CHECKs that there is such a listener.
std::string InferenceTarget(const Server& server);
std::string AdminTarget(const Server& server);

// Of a model that has no generation_config.json.
absl::StatusOr<std::shared_ptr<const Deployment>> Deploy(const ServerConfig& config, TextAssets text,
                                                         DeployedModel model);

// A model that has room for an answer of kEndless tokens, which takes far longer than any limit of a test.
ScriptedModel::Options EndlessModel();
constexpr int64_t kEndless = 900'000;

class TestServer {
 public:
  explicit TestServer(ScriptedModel::Options model = {}, const ServerConfig& config = TestConfig(),
                      TextAssets text = DemoText());
  ~TestServer();

  ScriptedModel& model() { return model_; }
  Server& server() { return *server_; }
  std::shared_ptr<grpc::Channel> Channel() const;
  std::unique_ptr<v1::Inference::Stub> Inference() const { return v1::Inference::NewStub(Channel()); }
  std::unique_ptr<v1::Admin::Stub> Admin() const;
  v1::GetStatusResponse Status() const;
  // What the listener of that name has counted.
  v1::ListenerStatus Counts(std::string_view listener = "requests") const;
  // Waits until `ready` says so; fails the test after 20 s.
  void WaitFor(const std::function<bool(const v1::GetStatusResponse&)>& ready) const;
  // No request is left, and every KV block is free again.
  void WaitUntilIdle() const;

 private:
  ScriptedModel model_;
  std::unique_ptr<Server> server_;
  std::string requests_, administration_;  // what clients connect to, while the server may be closing it
};

// A whole answer.
struct Answer {
  grpc::Status status;
  bool started = false, ended = false;
  v1::GenerateStart start;
  v1::GenerateEnd end;
  std::vector<v1::Logprob> prompt;
  std::vector<v1::Logprob> logprobs;
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<std::string> pieces;  // the text of each chunk
};
Answer Ask(v1::Inference::Stub& stub, const v1::GenerateRequest& request,
           absl::Duration deadline = absl::Seconds(60));

// One token id as the prompt, greedy, `max_tokens`.
v1::GenerateRequest IdRequest(int32_t id, int64_t max_tokens);
v1::GenerateRequest TextRequest(const std::string& text, int64_t max_tokens);

// The first detail of type T in the trailer; fails the test where there is none, or where the trailer is too
// large.
template <typename T>
T Detail(const grpc::Status& status) {
  google::rpc::Status rich;
  if (!rich.ParseFromString(status.error_details())) return T();
  for (const auto& any : rich.details()) {
    T detail;
    if (any.UnpackTo(&detail)) return detail;
  }
  return T();
}
// The field that the first BadRequest violation names; "" where there is none.
std::string BadField(const grpc::Status& status);
bool HasRetry(const grpc::Status& status);

}  // namespace guildhall
