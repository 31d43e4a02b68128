// What a client without rights may do to a listener, beside an innocent one that must not notice.
#include <catch2/catch.hpp>
#include <filesystem>

#include "absl/time/clock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/fixture.h"
#include "tests/server/grpc/raw_calls.h"

namespace guildhall {
namespace {

std::string Bytes(const google::protobuf::Message& message) {
  return message.SerializeAsString();
}

size_t Threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}

// A client that must not notice anything: the same answer as ever, on a connection of its own.
void CheckInnocent(const TestServer& server) {
  const Answer answer = Ask(*server.Inference(), IdRequest(5, 10), absl::Seconds(20));
  INFO(answer.status.error_message());
  REQUIRE(answer.status.ok());
  CHECK(answer.tokens.size() == 10);
}

}  // namespace

TEST_CASE("streams whose message never comes hold no thread, and nobody else waits for them") {
  TestServer server;
  CheckInnocent(server);
  const size_t threads = Threads();
  std::vector<std::unique_ptr<http2::Client>> clients;
  const std::string target = InferenceTarget(server.server());
  for (const std::string_view path : {kGenerate, kTokenize, kReflection, kWatch}) {
    for (int i = 0; i < 4; ++i) {
      clients.push_back(Connect(target));
      for (int stream = 0; stream < 100; ++stream) clients.back()->Open(path);
    }
  }
  // Of reflection and Watch most are refused, of the others all wait.
  server.WaitFor([&](const auto&) { return server.Counts().calls() >= 800; });
  CheckInnocent(server);
  CHECK(Threads() < threads + 40);
  CHECK(server.Counts().refused_calls() > 0);
  clients.clear();
  server.WaitFor([&](const auto&) { return server.Counts().calls() == 0; });
}

TEST_CASE("a call without its message ends after server.request_timeout_s") {
  ServerConfig config = TestConfig();
  config.server.request_timeout_s = 1.0;
  TestServer server({}, config);
  const auto client = Connect(InferenceTarget(server.server()));
  for (const std::string_view path : {kGenerate, kWatch}) {
    const http2::CallEnd end = client->Await(client->Open(path), std::chrono::seconds(20));
    INFO(end.Text());
    CHECK(end.status == grpc::DEADLINE_EXCEEDED);
  }
  CheckInnocent(server);
}

TEST_CASE("a request without a message and one with two are the client's mistakes") {
  TestServer server;
  const auto client = Connect(InferenceTarget(server.server()));
  const std::string request = http2::Message(Bytes(IdRequest(5, 1)));
  for (const std::string_view path : {kGenerate, kTokenize}) {
    const http2::CallEnd none = client->Await(client->Open(path, {}, /*end_stream=*/true));
    CHECK(none.status == grpc::INVALID_ARGUMENT);
    CHECK_THAT(none.message, Catch::Contains("found none"));
    const uint32_t twice = client->Open(path);
    client->SendData(twice, request + request);
    const http2::CallEnd two = client->Await(twice);
    CHECK(two.status == grpc::INVALID_ARGUMENT);
    CHECK_THAT(two.message, Catch::Contains("a second"));
  }
  CHECK(client->Await(client->Call(kGenerate, Bytes(IdRequest(5, 1)))).ok());
}

TEST_CASE("compressed messages are refused before they are inflated") {
  TestServer server;
  for (const char* encoding : {"gzip", "deflate"}) {
    const auto client = Connect(InferenceTarget(server.server()));
    const uint32_t stream = client->Open(kTokenize, {{"grpc-encoding", encoding}});
    // Within the window: the answer comes at once, and is not to be missed while the client waits to send.
    client->SendData(stream, http2::Message(std::string(1 << 15, '\x1f'), /*compressed=*/true));
    const http2::CallEnd end = client->Await(stream);
    INFO(end.Text() << " " << end.message);
    CHECK(end.status == grpc::UNIMPLEMENTED);
  }
  // A client that offers to take compressed answers, and sends none, is served.
  const auto client = Connect(InferenceTarget(server.server()));
  CHECK(client
            ->Await(client->Call(kGenerate, Bytes(IdRequest(5, 1)),
                                 {{"grpc-accept-encoding", "identity,deflate,gzip"}}))
            .ok());
}

TEST_CASE("metadata over the limit end their call alone") {
  TestServer server(EndlessModel());
  auto stub = server.Inference();
  grpc::ClientContext open;
  auto neighbour = stub->Generate(&open, IdRequest(5, 2000));
  v1::GenerateResponse response;
  REQUIRE(neighbour->Read(&response));
  for (const int entries : {10, 100}) {
    grpc::ClientContext context;
    for (int i = 0; i < entries; ++i) context.AddMetadata("x-" + std::to_string(i), std::string(1000, 'a'));
    auto reader = stub->Generate(&context, IdRequest(5, 1));
    while (reader->Read(&response)) {
    }
    CHECK(reader->Finish().error_code() == grpc::RESOURCE_EXHAUSTED);
  }
  while (neighbour->Read(&response)) {
  }
  CHECK(neighbour->Finish().ok());
}

TEST_CASE(
    "metadata in many frames, and a client that never acknowledges settings, are held to the limits too") {
  TestServer server;
  auto connected = http2::Client::Connect(InferenceTarget(server.server()));
  REQUIRE(connected.ok());
  const auto client = *std::move(connected);
  REQUIRE(client->Begin({}, /*acknowledge=*/false));
  http2::Fields fields;
  for (int i = 0; i < 100; ++i) fields.emplace_back("x-" + std::to_string(i), std::string(1000, 'a'));
  CHECK(client->Await(client->Call(kGenerate, Bytes(IdRequest(5, 1)), fields)).status ==
        grpc::RESOURCE_EXHAUSTED);
  CHECK(client->Await(client->Call(kGenerate, Bytes(IdRequest(5, 1)))).ok());
}

TEST_CASE("a connection that resets call after call is closed, and others are served meanwhile") {
  ServerConfig config = TestConfig();
  config.limits.streams_per_connection = 50;
  TestServer server({}, config);
  const std::string request = http2::Message(Bytes(IdRequest(5, 1)));
  for (const bool with_message : {true, false}) {
    const auto hostile = Connect(InferenceTarget(server.server()));
    const std::string block = http2::HeaderBlock(http2::CallFields(kGenerate));
    std::string bytes;
    for (uint32_t stream = 1; stream < 20'000; stream += 2) {
      bytes += http2::Headers(stream, block);
      if (with_message) bytes += http2::Frame(http2::FrameType::kData, http2::kEndStream, stream, request);
      bytes += http2::Reset(stream, http2::kCancel);
    }
    hostile->Send(bytes);
    CheckInnocent(server);
    CHECK(hostile->AwaitClose(std::chrono::seconds(20)));
  }
  const v1::ListenerStatus counts = server.Counts();
  CHECK(counts.hostile_connections_closed() == 2);
  server.WaitUntilIdle();
}

TEST_CASE("more connections than the limit: who waits idly makes room for who asks") {
  ServerConfig config = TestConfig();
  config.limits.connections = 10;
  TestServer server({}, config);
  std::vector<std::unique_ptr<http2::Client>> idle;
  for (int i = 0; i < 30; ++i) idle.push_back(Connect(InferenceTarget(server.server())));
  server.WaitFor([&](const auto&) {
    const v1::ListenerStatus counts = server.Counts();
    return counts.accepted_connections() + counts.refused_connections() >= 30;
  });
  const v1::ListenerStatus counts = server.Counts();
  CHECK(counts.connections_most() == 10);
  CHECK(counts.refused_connections() > 0);
  CHECK(counts.connections() <= 10);
  CheckInnocent(server);
}

TEST_CASE("an idle connection is closed after server.idle_timeout_s") {
  ServerConfig config = TestConfig();
  config.server.idle_timeout_s = 1.0;
  TestServer server({}, config);
  const auto client = Connect(InferenceTarget(server.server()));
  CHECK(client->Await(client->Call(kGenerate, Bytes(IdRequest(5, 1)))).ok());
  CHECK(client->AwaitClose(std::chrono::seconds(20)));
}

TEST_CASE("the administration asks for the token before it reads anything, reflection included") {
  ServerConfig config = TestConfig();
  config.admin.token = "correct horse";
  auto server = StartServer(config);
  REQUIRE(server.ok());
  const auto client = Connect(AdminTarget(**server));
  for (const std::string_view path : {std::string_view("/guildhall.v1.Admin/GetStatus"), kReflection,
                                      std::string_view("/guildhall.v1.Admin/NoSuchMethod")}) {
    CHECK(client->Await(client->Open(path)).status == grpc::UNAUTHENTICATED);
    const uint32_t wrong = client->Open(path, {{"authorization", "Bearer battery"}});
    CHECK(client->Await(wrong).status == grpc::PERMISSION_DENIED);
  }
  // Probes have no token.
  CHECK(client->Await(client->Call(kCheck, "")).ok());
  for (const char* scheme : {"Bearer ", "bearer ", "BEARER "}) {
    const http2::Fields token = {{"authorization", std::string(scheme) + "correct horse"}};
    CHECK(client->Await(client->Call("/guildhall.v1.Admin/GetStatus", "", token)).ok());
  }
}

TEST_CASE("the clients' listener tells its interface unless server.reflection is off") {
  ServerConfig config = TestConfig();
  config.server.reflection = false;
  TestServer server({}, config);
  const auto client = Connect(InferenceTarget(server.server()));
  CHECK(client->Await(client->Open(kReflection)).status == grpc::UNIMPLEMENTED);
}

}  // namespace guildhall
