#include "tests/server/fixture.h"

#include <chrono>

#include <catch2/catch.hpp>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "server/grpc/grpc_listeners.h"
#include "server/http/http_listeners.h"

namespace guildhall {

const TextAssets& DemoText() {
  static const auto* text = [] {
    auto loaded = LoadTextAssets(GUILDHALL_SOURCE_DIR "/demo/model");
    if (!loaded.ok()) throw std::runtime_error(loaded.status().ToString());
    return new TextAssets(*std::move(loaded));
  }();
  return *text;
}

std::vector<int32_t> Encode(const std::string& text) {
  auto ids = DemoText().tokenizer->Encode(text, false);
  REQUIRE(ids.ok());
  return *std::move(ids);
}

ServerConfig TestConfig() {
  ServerConfig config;
  config.server.listen = "127.0.0.1:0";
  config.admin.listen = "127.0.0.1:0";
  config.sampling.temperature = 0.0;
  config.engine.stall_limit_s = 30.0;
  TaskConfig tell;
  tell.id = "tell";
  tell.description = "tells";
  tell.system_prompt = "Answer briefly.";
  config.tasks["tell"] = tell;
  TaskConfig plain;
  plain.id = "plain";
  plain.max_queued = 2;
  config.tasks["plain"] = plain;
  return config;
}

ScriptedModel::Options EndlessModel() {
  ScriptedModel::Options options;
  options.max_positions = 1 << 20;
  options.kv_blocks = 60'000;
  return options;
}

absl::StatusOr<std::unique_ptr<Server>> StartServer(const ServerConfig& config) {
  std::vector<StartListener> listeners = GrpcListeners();
  for (StartListener& listener : HttpListeners()) listeners.push_back(std::move(listener));
  return Server::Start(config, listeners);
}

std::string InferenceTarget(const Server& server) {
  GH_CHECK(server.listener("requests") != nullptr);
  return server.listener("requests")->Target();
}

std::string AdminTarget(const Server& server) {
  GH_CHECK(server.listener("administration") != nullptr);
  return server.listener("administration")->Target();
}

absl::StatusOr<std::shared_ptr<const Deployment>> Deploy(const ServerConfig& config, TextAssets text,
                                                         DeployedModel model) {
  GH_ASSIGN_OR_RETURN(DeploymentPlan plan, PlanDeployment(config, std::move(text), PartialSampling()));
  return MakeDeployment(config, std::move(plan), std::move(model));
}

TestServer::TestServer(ScriptedModel::Options model, const ServerConfig& config, TextAssets text)
    : model_(std::move(model)) {
  auto server = StartServer(config);
  INFO(server.status().ToString());
  REQUIRE(server.ok());
  server_ = *std::move(server);
  requests_ = InferenceTarget(*server_);
  administration_ = AdminTarget(*server_);
  DeployedModel deployed;
  deployed.model = &model_;
  deployed.eos_tokens = {2};
  deployed.info.architecture = "ScriptedForTests";
  auto deployment = Deploy(config, std::move(text), std::move(deployed));
  INFO(deployment.status().ToString());
  REQUIRE(deployment.ok());
  server_->Publish(*std::move(deployment));
}

TestServer::~TestServer() {
  model_.Release();
  server_.reset();
}

std::shared_ptr<grpc::Channel> TestServer::Channel() const {
  grpc::ChannelArguments arguments;
  // Each channel its own connection, whatever others of the process do.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel(requests_, grpc::InsecureChannelCredentials(), arguments);
  // On a busy machine a connection may fail at first, which is not what the tests are about.
  channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return channel;
}

std::unique_ptr<v1::Admin::Stub> TestServer::Admin() const {
  return v1::Admin::NewStub(grpc::CreateChannel(administration_, grpc::InsecureChannelCredentials()));
}

v1::GetStatusResponse TestServer::Status() const {
  grpc::ClientContext context;
  v1::GetStatusResponse response;
  const grpc::Status status = Admin()->GetStatus(&context, {}, &response);
  INFO(status.error_message());
  REQUIRE(status.ok());
  return response;
}

v1::ListenerStatus TestServer::Counts(std::string_view listener) const {
  const v1::GetStatusResponse status = Status();
  for (const auto& counts : status.listeners()) {
    if (counts.name() == listener) return counts;
  }
  FAIL("no such listener");
  return {};
}

void TestServer::WaitFor(const std::function<bool(const v1::GetStatusResponse&)>& ready) const {
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (true) {
    const v1::GetStatusResponse status = Status();
    if (ready(status)) return;
    INFO(status.DebugString());
    REQUIRE(absl::Now() < deadline);
    absl::SleepFor(absl::Milliseconds(5));
  }
}

void TestServer::WaitUntilIdle() const {
  WaitFor([](const v1::GetStatusResponse& status) {
    return status.open_streams() == 0 && status.engine().running() == 0 && status.engine().queued() == 0 &&
           status.engine().kv_blocks_free() == status.engine().kv_blocks();
  });
}

Answer Ask(v1::Inference::Stub& stub, const v1::GenerateRequest& request, absl::Duration deadline) {
  Answer answer;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
  auto reader = stub.Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    switch (response.event_case()) {
      case v1::GenerateResponse::kStart:
        answer.started = true;
        answer.start = response.start();
        break;
      case v1::GenerateResponse::kPrompt:
        answer.prompt.insert(answer.prompt.end(), response.prompt().logprobs().begin(),
                             response.prompt().logprobs().end());
        break;
      case v1::GenerateResponse::kChunk: {
        const auto& chunk = response.chunk();
        answer.text += chunk.text();
        answer.pieces.push_back(chunk.text());
        answer.tokens.insert(answer.tokens.end(), chunk.token_ids().begin(), chunk.token_ids().end());
        answer.logprobs.insert(answer.logprobs.end(), chunk.logprobs().begin(), chunk.logprobs().end());
        break;
      }
      default:
        answer.ended = true;
        answer.end = response.end();
    }
  }
  answer.status = reader->Finish();
  return answer;
}

v1::GenerateRequest IdRequest(int32_t id, int64_t max_tokens) {
  v1::GenerateRequest request;
  request.mutable_token_ids()->add_ids(id);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_max_tokens(max_tokens);
  return request;
}

v1::GenerateRequest TextRequest(const std::string& text, int64_t max_tokens) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_sampling()->set_max_tokens(max_tokens);
  return request;
}

std::string BadField(const grpc::Status& status) {
  const auto detail = Detail<google::rpc::BadRequest>(status);
  return detail.field_violations_size() == 0 ? "" : detail.field_violations(0).field();
}

bool HasRetry(const grpc::Status& status) {
  return Detail<google::rpc::RetryInfo>(status).retry_delay().seconds() > 0;
}

}  // namespace guildhall
