// One tenant's adapter that overflows: the tenant is told, the adapter is marked and shut off, and nobody
// else sees anything of it.
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "client/adapter_text.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
namespace health = grpc::health::v1;

// All numbers of a folder's F32 tensors become finite ones whose products are not.
void Overflow(const std::string& folder) {
  const std::string path = folder + "/adapter_model.safetensors";
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  const float huge = 1e25f;
  for (size_t at = 8 + header; at + sizeof(huge) <= bytes.size(); at += sizeof(huge)) {
    std::memcpy(bytes.data() + at, &huge, sizeof(huge));
  }
  std::ofstream(path, std::ios::binary) << bytes;
}

bool Serving(const AdapterServer& server, const std::string& service) {
  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service(service);
  health::HealthCheckResponse response;
  const auto stub = health::Health::NewStub(server.Channel());
  return stub->Check(&context, request, &response).ok() &&
         response.status() == health::HealthCheckResponse::SERVING;
}

v1::AdapterInfo AwaitFaults(const AdapterServer& server, uint64_t faults) {
  for (int i = 0; i < 2000 && server.Info("bad").faults() < faults; ++i)
    absl::SleepFor(absl::Milliseconds(5));
  return server.Info("bad");
}

TEST_CASE("an adapter that overflows fails its own requests, is marked, is shut off, and can be replaced") {
  AdapterWorld world;
  fs::copy(world.root + "/a", world.root + "/broken");
  Overflow(world.root + "/broken");
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.shut_off_after = 5;
  AdapterServer server(config);
  const uint64_t version = server.LoadVersion("bad", "broken");
  REQUIRE(server.Load("good", "b").ok());
  REQUIRE(server.Put("bad", {{"bad", 1.0f}}).ok());
  REQUIRE(server.Put("good", {{"good", 1.0f}}).ok());
  REQUIRE(server.Put("both", {{"good", 1.0f}, {"bad", 1.0f}}).ok());
  const std::vector<int32_t> prompt{3, 5, 7, 9};
  const auto ask = [&](const std::string& task) {
    return Ask(*server.Inference(), ScoreRequest(task, prompt));
  };
  const Answer base = ask(""), good = ask("good");
  REQUIRE(base.status.ok());
  REQUIRE(good.status.ok());
  const auto same = [](const Answer& a, const Answer& b) {
    if (!a.status.ok() || a.prompt.size() != b.prompt.size()) return false;
    for (size_t i = 0; i < a.prompt.size(); ++i) {
      if (a.prompt[i].logprob() != b.prompt[i].logprob()) return false;
    }
    return true;
  };
  for (int i = 0; i < 5; ++i) {
    const Answer bad = ask("bad");
    CHECK(bad.status.error_code() == grpc::INTERNAL);
    CHECK_THAT(bad.status.error_message(), Catch::Contains("as the logit of token"));
    for (const char* service : {"", "readiness", "liveness"}) CHECK(Serving(server, service));
  }
  const v1::AdapterInfo info = AwaitFaults(server, 5);
  CHECK(info.faults() == 5);
  CHECK(info.consecutive_faults() == 5);
  CHECK_THAT(info.last_fault(), Catch::Contains("expected a finite number"));
  CHECK(info.shut_off());
  CHECK(server.Info("good").faults() == 0);
  const std::string listed = AdapterTable(server.List().adapters());
  CHECK_THAT(listed, Catch::Contains("ready, shut off") && Catch::Contains("bad: 5 requests failed"));

  const Answer refused = ask("bad");
  CHECK(refused.status.error_code() == grpc::FAILED_PRECONDITION);
  CHECK_THAT(refused.status.error_message(), Catch::Contains("adapter bad (version ") &&
                                                 Catch::Contains("is shut off (adapters.shut_off_after)"));
  CHECK(Detail<google::rpc::PreconditionFailure>(refused.status).violations(0).subject() == "bad");
  CHECK(same(ask(""), base));
  CHECK(same(ask("good"), good));
  CHECK(ask("both").status.error_code() == grpc::INTERNAL);  // a combination of its own
  CHECK(Serving(server, "readiness"));

  v1::LoadAdapterRequest replacement;
  replacement.set_name("bad");
  replacement.set_path("a");
  replacement.set_expected_version(version);
  REQUIRE(server.Load(replacement).ok());
  CHECK(ask("bad").status.ok());
  CHECK_FALSE(server.Info("bad").shut_off());
  CHECK(server.Info("bad").faults() == 0);
}

TEST_CASE("without a number an adapter that overflows is marked and goes on failing alone") {
  AdapterWorld world;
  Overflow(world.root + "/a");
  AdapterServer server(AdapterConfigFor(world));
  server.LoadVersion("bad", "a");
  REQUIRE(server.Put("bad", {{"bad", 1.0f}}).ok());
  for (int i = 0; i < 8; ++i) {
    const Answer bad = Ask(*server.Inference(), ScoreRequest("bad", {3, 5, 7}));
    CHECK(bad.status.error_code() == grpc::INTERNAL);
    CHECK(Serving(server, "readiness"));
  }
  const v1::AdapterInfo info = AwaitFaults(server, 8);
  CHECK(info.faults() == 8);
  CHECK_FALSE(info.shut_off());
  CHECK(Ask(*server.Inference(), ScoreRequest("", {3, 5, 7})).status.ok());
}

}  // namespace
}  // namespace guildhall
