// Listeners, health, reflection, administration, slow readers and the end.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1/reflection.grpc.pb.h"
#include "server/shutdown_signals.h"
#include "tests/server/fixture.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

namespace health = grpc::health::v1;
namespace reflection = grpc::reflection::v1;

constexpr auto kServing = health::HealthCheckResponse::SERVING;
constexpr auto kNotServing = health::HealthCheckResponse::NOT_SERVING;

std::shared_ptr<grpc::Channel> ChannelTo(const std::string& target) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
}

health::HealthCheckResponse::ServingStatus Health(const std::string& target, const std::string& service) {
  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service(service);
  health::HealthCheckResponse response;
  const grpc::Status status = health::Health::NewStub(ChannelTo(target))->Check(&context, request, &response);
  if (status.error_code() == grpc::NOT_FOUND) return health::HealthCheckResponse::SERVICE_UNKNOWN;
  INFO(status.error_message());
  REQUIRE(status.ok());
  return response.status();
}

// One question by either version of the protocol: the messages are the same.
reflection::ServerReflectionResponse Reflect(const std::string& target, const std::string& version,
                                             const reflection::ServerReflectionRequest& request) {
  auto channel = ChannelTo(target);
  const std::string name = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo";
  grpc::internal::RpcMethod method(name.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING);
  grpc::ClientContext context;
  using Stream =
      grpc::ClientReaderWriter<reflection::ServerReflectionRequest, reflection::ServerReflectionResponse>;
  std::unique_ptr<Stream> stream(
      grpc::internal::ClientReaderWriterFactory<reflection::ServerReflectionRequest,
                                                reflection::ServerReflectionResponse>::Create(channel.get(),
                                                                                              method,
                                                                                              &context));
  REQUIRE(stream->Write(request));
  stream->WritesDone();
  reflection::ServerReflectionResponse response;
  REQUIRE(stream->Read(&response));
  CHECK(stream->Finish().ok());
  return response;
}

grpc::Status AdminStatus(const std::string& target, const std::string& authorization) {
  grpc::ClientContext context;
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  v1::GetStatusResponse response;
  return v1::Admin::NewStub(ChannelTo(target))->GetStatus(&context, {}, &response);
}

}  // namespace

TEST_CASE("while the model loads the process is live, not ready, and refuses with a hint") {
  auto server = StartServer(TestConfig());
  REQUIRE(server.ok());
  const std::string target = InferenceTarget(**server);
  CHECK(Health(target, "liveness") == kServing);
  CHECK(Health(target, "readiness") == kNotServing);
  auto stub = v1::Inference::NewStub(ChannelTo(target));
  const grpc::Status status = Ask(*stub, IdRequest(5, 1)).status;
  CHECK(status.error_code() == grpc::UNAVAILABLE);
  CHECK(HasRetry(status));
  CHECK_THAT(status.error_message(), Catch::Contains("loading"));
  v1::GetStatusResponse admin;
  grpc::ClientContext context;
  REQUIRE(v1::Admin::NewStub(ChannelTo(AdminTarget(**server)))->GetStatus(&context, {}, &admin).ok());
  CHECK(admin.state() == v1::GetStatusResponse::STATE_LOADING);
}

TEST_CASE("health knows the server, liveness, readiness and the services, and nothing else") {
  TestServer server;
  const std::string target = InferenceTarget(server.server());
  for (const char* name : {"", "liveness", "readiness", "guildhall.v1.Inference"})
    CHECK(Health(target, name) == kServing);
  CHECK(Health(target, "guildhall.v1.Admin") == health::HealthCheckResponse::SERVICE_UNKNOWN);
  CHECK(Health(AdminTarget(server.server()), "guildhall.v1.Admin") == kServing);
}

TEST_CASE("a model that keeps producing broken numbers is not healthy, and Watch tells so") {
  ScriptedModel::Options options;
  options.poison = 66;
  TestServer server(options);
  const std::string target = InferenceTarget(server.server());
  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service("readiness");
  auto watch = health::Health::NewStub(ChannelTo(target))->Watch(&context, request);
  health::HealthCheckResponse seen;
  REQUIRE(watch->Read(&seen));
  CHECK(seen.status() == kServing);
  auto stub = server.Inference();
  for (int i = 0; i < 10; ++i) Ask(*stub, IdRequest(66, 5));
  REQUIRE(watch->Read(&seen));
  CHECK(seen.status() == kNotServing);
  CHECK(Health(target, "liveness") == kServing);
  CHECK(server.Status().state() == v1::GetStatusResponse::STATE_UNHEALTHY);
  // An answer with good numbers heals it.
  CHECK(Ask(*stub, IdRequest(5, 3)).status.ok());
  REQUIRE(watch->Read(&seen));
  CHECK(seen.status() == kServing);
  context.TryCancel();
  watch->Finish();
}

TEST_CASE("a step that hangs turns liveness and readiness off, and on again when it ends") {
  ServerConfig config = TestConfig();
  config.engine.hung_step_s = 0.1;
  TestServer server({}, config);
  const std::string target = InferenceTarget(server.server());
  server.model().Hold();
  Answer answer;
  std::jthread client([&] { answer = Ask(*server.Inference(), IdRequest(5, 3)); });
  const auto await = [&](const std::string& service, int status) {
    for (int i = 0; i < 2000 && Health(target, service) != status; ++i) absl::SleepFor(absl::Milliseconds(5));
    CHECK(Health(target, service) == status);
  };
  await("liveness", kNotServing);
  await("readiness", kNotServing);
  CHECK(Health(AdminTarget(server.server()), "liveness") == kNotServing);
  CHECK(server.Status().state() == v1::GetStatusResponse::STATE_UNHEALTHY);
  CHECK(server.Status().engine().hung());
  CHECK(server.Status().engine().step_seconds() > 0.1);
  server.model().Release();
  client.join();
  CHECK(answer.status.ok());
  await("liveness", kServing);
  await("readiness", kServing);
  CHECK_FALSE(server.Status().engine().hung());
}

TEST_CASE(
    "a device that is lost: who runs is told, nobody is served any more, the process stays to be asked") {
  ScriptedModel::Options options;
  options.loses_device = 66;
  ServerConfig config = TestConfig();
  config.on_device_error = "stay";
  TestServer server(options, config);
  auto stub = server.Inference();
  CHECK(Ask(*stub, IdRequest(5, 3)).status.ok());
  CHECK(Ask(*stub, IdRequest(66, 5)).status.error_code() == grpc::UNAVAILABLE);
  CHECK(Ask(*stub, IdRequest(5, 3)).status.error_code() == grpc::UNAVAILABLE);
  server.WaitFor([](const auto& status) { return status.engine().device_lost(); });
  CHECK(server.Status().state() == v1::GetStatusResponse::STATE_UNHEALTHY);
  const std::string target = InferenceTarget(server.server());
  while (Health(target, "readiness") == kServing) absl::SleepFor(absl::Milliseconds(5));
  CHECK(Health(target, "liveness") == kServing);
}

TEST_CASE("a device that is lost ends the server where the configuration wants that") {
  ScriptedModel::Options options;
  options.loses_device = 66;
  TestServer server(options);
  CHECK(TestConfig().on_device_error == "exit");
  bool complete = false;
  std::jthread run([&] { complete = server.server().RunUntilDrained(); });
  CHECK(Ask(*server.Inference(), IdRequest(66, 5)).status.error_code() == grpc::UNAVAILABLE);
  run.join();
  CHECK(complete);
}

TEST_CASE("both versions of reflection list the services and give their files") {
  TestServer server;
  const std::string target = InferenceTarget(server.server());
  for (const std::string& version : {std::string("v1"), std::string("v1alpha")}) {
    INFO(version);
    reflection::ServerReflectionRequest request;
    request.set_list_services("");
    std::set<std::string> names;
    const auto listed = Reflect(target, version, request);
    for (const auto& service : listed.list_services_response().service()) names.insert(service.name());
    CHECK(names.count("guildhall.v1.Inference") == 1);
    CHECK(names.count("grpc.health.v1.Health") == 1);
    CHECK(names.count("guildhall.v1.Admin") == 0);
    request.set_file_containing_symbol("guildhall.v1.Inference");
    CHECK(Reflect(target, version, request).file_descriptor_response().file_descriptor_proto_size() >= 1);
    request.set_file_containing_symbol("no.such.Thing");
    CHECK(Reflect(target, version, request).error_response().error_code() == grpc::NOT_FOUND);
  }
  reflection::ServerReflectionRequest request;
  request.set_file_by_filename("guildhall/v1/inference.proto");
  // The file, common.proto and duration.proto: a client needs no second question.
  CHECK(Reflect(target, "v1", request).file_descriptor_response().file_descriptor_proto_size() == 3);
}

TEST_CASE("a second server on the same port is refused, and the first one goes on") {
  TestServer server;
  ServerConfig config = TestConfig();
  config.server.listen = InferenceTarget(server.server());
  const auto second = StartServer(config);
  REQUIRE(second.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(
      std::string(second.status().message()),
      Catch::Contains("server.listen: port " +
                      config.server.listen.substr(config.server.listen.rfind(':') + 1) + " is in use"));
  auto stub = server.Inference();
  CHECK(Ask(*stub, IdRequest(5, 1)).status.ok());
}

TEST_CASE("Unix sockets: taken by one server only, the administration's for its owner only") {
  const TempFolder folder;
  ServerConfig config = TestConfig();
  config.server.listen = "unix:" + (folder / "inference");
  config.admin.listen = "unix:" + (folder / "admin");
  TestServer server({}, config);
  auto stub = server.Inference();
  CHECK(Ask(*stub, IdRequest(5, 1)).status.ok());
  CHECK(server.Status().state() == v1::GetStatusResponse::STATE_SERVING);
  struct stat info {};
  REQUIRE(stat(config.admin.listen.substr(5).c_str(), &info) == 0);
  CHECK((info.st_mode & 0077) == 0);
  CHECK_THAT(std::string(StartServer(config).status().message()), Catch::Contains("is in use"));
  CHECK(Ask(*stub, IdRequest(5, 1)).status.ok());
}

TEST_CASE("the administration listener lets in who knows the token") {
  ServerConfig config = TestConfig();
  config.admin.token = "correct horse";
  auto started = StartServer(config);
  REQUIRE(started.ok());
  const std::string target = AdminTarget(**started);
  CHECK(AdminStatus(target, "").error_code() == grpc::UNAUTHENTICATED);
  CHECK(AdminStatus(target, "Bearer wrong").error_code() == grpc::PERMISSION_DENIED);
  CHECK(AdminStatus(target, "Bearer correct hors").error_code() == grpc::PERMISSION_DENIED);
  CHECK(AdminStatus(target, "correct horse").error_code() == grpc::PERMISSION_DENIED);
  CHECK(AdminStatus(target, "Bearer correct horse").ok());
  grpc::ClientContext context;
  v1::DrainResponse ignored;
  CHECK(v1::Admin::NewStub(ChannelTo(target))->Drain(&context, {}, &ignored).error_code() ==
        grpc::UNAUTHENTICATED);
  CHECK((*started)->state().phase() == ServerState::Phase::kLoading);
  // The clients' listener knows nothing of administration.
  CHECK(AdminStatus(InferenceTarget(**started), "Bearer correct horse").error_code() == grpc::UNIMPLEMENTED);
  CHECK(SameSecret("a", "a"));
  CHECK_FALSE(SameSecret("a", "b"));
  CHECK_FALSE(SameSecret("", "b"));
  CHECK_FALSE(SameSecret(std::string("b\0", 2), "b"));
}

TEST_CASE("the token may come from a file") {
  const TempFolder folder;
  ServerConfig config = TestConfig();
  config.admin.token_file = folder / "token";
  CHECK_FALSE(StartServer(config).ok());
  std::ofstream(config.admin.token_file) << "from a file\n";
  auto server = StartServer(config);
  REQUIRE(server.ok());
  CHECK(AdminStatus(AdminTarget(**server), "Bearer from a file").ok());
  // Several lines are no token: nobody could send it.
  std::ofstream(config.admin.token_file) << "from a file\nand more\n";
  CHECK_THAT(std::string(StartServer(config).status().message()), Catch::Contains("several lines"));
}

TEST_CASE("a drain lets open requests end, refuses new ones, and then the server is gone") {
  TestServer server;
  auto stub = server.Inference();
  server.model().Hold();
  Answer open;
  std::jthread client([&] { open = Ask(*server.Inference(), IdRequest(5, 50)); });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  bool complete = false;
  std::jthread run([&] { complete = server.server().RunUntilDrained(); });
  grpc::ClientContext context;
  v1::DrainRequest request;
  request.mutable_limit()->set_seconds(20);
  v1::DrainResponse response;
  const std::string target = InferenceTarget(server.server());
  auto admin = server.Admin();
  REQUIRE(admin->Drain(&context, request, &response).ok());
  CHECK(response.open_requests() == 1);
  CHECK(response.limit().seconds() == 20);
  CHECK(Health(target, "readiness") == kNotServing);  // by the time of the answer
  const grpc::Status refused = Ask(*stub, IdRequest(5, 1)).status;
  CHECK(refused.error_code() == grpc::UNAVAILABLE);
  CHECK(HasRetry(refused));
  CHECK(server.Status().state() == v1::GetStatusResponse::STATE_DRAINING);
  CHECK(Health(target, "liveness") == kServing);
  server.model().Release();
  client.join();
  run.join();
  CHECK(complete);
  CHECK(open.status.ok());
  CHECK(open.end.usage().output_tokens() == 50);
  CHECK(Ask(*stub, IdRequest(5, 1)).status.error_code() == grpc::UNAVAILABLE);
}

TEST_CASE(
    "a watch of health hears of the drain before Drain is answered, and of the end before the connection's") {
  TestServer server;
  server.model().Hold();
  std::jthread client([&] { Ask(*server.Inference(), IdRequest(5, 50)); });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  std::jthread run([&] { server.server().RunUntilDrained(); });
  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service("readiness");
  auto watch = health::Health::NewStub(ChannelTo(InferenceTarget(server.server())))->Watch(&context, request);
  health::HealthCheckResponse seen;
  REQUIRE(watch->Read(&seen));
  CHECK(seen.status() == kServing);
  grpc::ClientContext drain;
  v1::DrainResponse drained;
  REQUIRE(server.Admin()->Drain(&drain, {}, &drained).ok());
  REQUIRE(watch->Read(&seen));
  CHECK(seen.status() == kNotServing);
  server.model().Release();
  CHECK_FALSE(watch->Read(&seen));
  CHECK(watch->Finish().error_code() == grpc::UNAVAILABLE);
}

TEST_CASE("what is not done at the drain limit is cut off and told why") {
  ServerConfig config = TestConfig();
  config.server.drain_limit_s = 0.1;
  config.engine.stream_capacity = 1;
  TestServer server(EndlessModel(), config);
  Answer open;
  std::jthread client([&] { open = Ask(*server.Inference(), IdRequest(5, kEndless)); });
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  server.server().BeginDrain();
  CHECK_FALSE(server.server().RunUntilDrained());
  client.join();
  CHECK(open.status.error_code() == grpc::UNAVAILABLE);
  CHECK_THAT(open.status.error_message(), Catch::Contains("shut down"));
}

TEST_CASE("a reader that stops reading pauses itself alone, and is cancelled at the stall limit") {
  ServerConfig config = TestConfig();
  config.engine.stream_capacity = 4;
  config.engine.stall_limit_s = 1.5;
  TestServer server(EndlessModel(), config);
  auto stub = server.Inference();
  grpc::ClientContext context;
  // More than the windows of the transport hold: with the likely tokens of each place, and nobody reads.
  v1::GenerateRequest endless = IdRequest(5, kEndless);
  endless.mutable_logprobs()->set_top(20);
  auto reader = stub->Generate(&context, endless);
  v1::GenerateResponse response;
  REQUIRE(reader->Read(&response));
  server.WaitFor([](const auto& status) { return status.engine().running() == 1; });
  // Others are served at once meanwhile, and afterwards the slow one is gone.
  for (int i = 0; i < 20; ++i) CHECK(Ask(*server.Inference(), IdRequest(6, 10)).status.ok());
  server.WaitUntilIdle();
  while (reader->Read(&response)) {
  }
  CHECK(reader->Finish().error_code() == grpc::CANCELLED);
}

TEST_CASE("the first SIGTERM asks for a drain, the second ends the process") {
  // In a child of its own: signals belong to a process.
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::atomic<int> asked{0};
    const ShutdownSignals signals([&asked](const char*) { ++asked; });
    kill(getpid(), SIGTERM);
    while (asked == 0) usleep(1000);
    kill(getpid(), SIGTERM);
    usleep(10'000'000);
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 128 + SIGTERM);
}

}  // namespace guildhall
