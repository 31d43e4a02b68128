// The numbers that docs/grpc.md promises of a listener, of a server whose configuration says nothing of them.
#include <catch2/catch.hpp>
#include <vector>

#include "absl/time/clock.h"
#include "server/grpc/grpc_server.h"
#include "tests/server/fixture.h"
#include "tests/server/grpc/raw_calls.h"

namespace guildhall {

TEST_CASE("4096 calls may wait for their message, then the one that has waited for longest is refused") {
  ServerConfig config = TestConfig();
  config.limits.streams_per_connection = 10'000;
  TestServer server({}, config);
  const auto client = Connect(InferenceTarget(server.server()));
  const uint32_t first = client->Open(kGenerate);
  server.WaitFor([&](const auto&) { return server.Counts().calls() == 1; });  // it comes first
  for (int i = 1; i < 4096; ++i) client->Open(kGenerate);
  server.WaitFor([&](const auto&) { return server.Counts().calls() == 4096; });
  CHECK(server.Counts().refused_calls() == 0);
  client->Open(kGenerate);
  const http2::CallEnd end = client->Await(first);
  CHECK(end.status == grpc::RESOURCE_EXHAUSTED);
  CHECK_THAT(end.message, Catch::Contains("too many calls wait"));
  server.WaitFor([&](const auto&) { return server.Counts().calls() == 4096; });
  CHECK(server.Counts().refused_calls() == 1);
  // Who sends what it has to say at once is served.
  CHECK(Ask(*server.Inference(), IdRequest(5, 1)).status.ok());
}

TEST_CASE("1024 watches of health may be open in all, 8 on a connection, and questions are still answered") {
  TestServer server;
  const std::string target = InferenceTarget(server.server());
  std::vector<std::unique_ptr<http2::Client>> clients;
  for (int i = 0; i < 1024 / 8 + 1; ++i) {
    clients.push_back(Connect(target));
    for (int watch = 0; watch < 8; ++watch) clients.back()->Call(kWatch, "");
    // In this order: the last connection's are refused.
    if (i < 1024 / 8) server.WaitFor([&](const auto&) { return server.Counts().calls() == 8 * (i + 1); });
  }
  server.WaitFor([&](const auto&) {
    const v1::ListenerStatus counts = server.Counts();
    return counts.calls() == 1024 && counts.refused_calls() == 8;
  });
  const http2::CallEnd ninth = clients.front()->Await(clients.front()->Call(kWatch, ""));
  CHECK(ninth.status == grpc::RESOURCE_EXHAUSTED);
  CHECK_THAT(ninth.message, Catch::Contains("limit of 8 calls of this kind"));
  CHECK(clients.front()->Await(clients.front()->Call(kCheck, "")).ok());
}

TEST_CASE("32 streams of reflection may be open in all, 4 on a connection, the oldest makes room") {
  TestServer server;
  const std::string target = InferenceTarget(server.server());
  std::vector<std::unique_ptr<http2::Client>> clients;
  std::vector<uint32_t> firsts;
  for (int i = 0; i < 32 / 4; ++i) {
    clients.push_back(Connect(target));
    firsts.push_back(clients.back()->Open(kReflection));
    server.WaitFor([&](const auto&) { return server.Counts().calls() == 4 * i + 1; });  // the oldest
    for (int stream = 1; stream < 4; ++stream) clients.back()->Open(kReflection);
    server.WaitFor([&](const auto&) { return server.Counts().calls() == 4 * (i + 1); });
  }
  CHECK(clients.back()->Await(clients.back()->Open(kReflection)).status == grpc::RESOURCE_EXHAUSTED);
  CHECK(server.Counts().refused_calls() == 1);
  clients.push_back(Connect(target));
  clients.back()->Open(kReflection);
  CHECK(clients.front()->Await(firsts.front()).status == grpc::RESOURCE_EXHAUSTED);
  CHECK(server.Counts().refused_calls() == 2);
}

TEST_CASE("a stream of reflection ends at its limit, which is 30 s, whatever it does") {
  CHECK(GrpcServerOptions().conversation == absl::Seconds(30));
  GrpcServerOptions options;
  options.name = "requests";
  options.key = "server";
  options.address.host = "127.0.0.1";
  options.limits = TestConfig().limits;
  options.connections.calls_of_kind.fill(10);
  options.conversation = absl::Milliseconds(200);
  ListenerCounts counts("requests");
  const auto server = GrpcServer::Start(std::move(options), counts);
  REQUIRE(server.ok());
  const auto client = Connect((*server)->Target());
  const absl::Time begin = absl::Now();
  const http2::CallEnd end = client->Await(client->Open(kReflection));
  CHECK(absl::Now() - begin >= absl::Milliseconds(200));
  CHECK(end.status == grpc::DEADLINE_EXCEEDED);
  CHECK_THAT(end.message, Catch::Contains("200ms"));
}

TEST_CASE("the administration's listener has 64 connections, and who is on one of them is served") {
  TestServer server;
  const auto administrator = server.Admin();
  const auto counts = [&] {
    grpc::ClientContext context;
    v1::GetStatusResponse status;
    REQUIRE(administrator->GetStatus(&context, {}, &status).ok());
    for (const auto& listener : status.listeners()) {
      if (listener.name() == "administration") return listener;
    }
    return v1::ListenerStatus();
  };
  CHECK(counts().connections_most() == 64);
  std::vector<std::unique_ptr<http2::Client>> idle;
  for (int i = 0; i < 100; ++i) {
    http2::Client::Options options;
    options.source = i % 2 == 0 ? "127.0.0.1" : "127.0.0.2";
    auto client = http2::Client::Connect(AdminTarget(server.server()), options);
    REQUIRE(client.ok());
    idle.push_back(*std::move(client));
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (counts().connections() != 64 ||
         counts().accepted_connections() + counts().refused_connections() < 101) {
    REQUIRE(absl::Now() < deadline);
  }
  CHECK(counts().refused_connections() + counts().idle_connections_closed() == 37);
}

}  // namespace guildhall
