// A new version of an adapter is refused where a task that uses the adapter could not be served with it.
#include <catch2/catch.hpp>
#include <filesystem>
#include <optional>
#include <thread>

#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

grpc::Status Replace(const AdapterServer& server, const std::string& name, const std::string& path,
                     std::optional<uint64_t> version = std::nullopt) {
  v1::LoadAdapterRequest request;
  request.set_name(name);
  request.set_path(path);
  request.set_expected_version(version.value_or(server.Info(name).version()));
  return server.Load(request);
}

bool Serves(const AdapterServer& server, const std::string& task) {
  const Answer answer = Ask(*server.Inference(), ScoreRequest(task, {1, 2, 3}));
  INFO(task << ": " << answer.status.error_message());
  CHECK(answer.status.ok());
  return answer.status.ok();
}

// The reason, with the detail that programs read.
std::string Refusal(const grpc::Status& status) {
  CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
  const auto detail = Detail<google::rpc::PreconditionFailure>(status);
  CHECK(detail.violations_size() == 1);
  return status.error_message();
}

}  // namespace

TEST_CASE("a replacement that leaves a task's factor without a meaning is refused, naming the tasks") {
  const AdapterWorld world;
  fs::copy(GUILDHALL_SOURCE_DIR "/tests/goldens_adapters/dora_per_expert/adapter_a", world.root + "/dora");
  const AdapterServer server(AdapterConfigFor(world));
  const uint64_t first = server.LoadVersion("m", "a");
  REQUIRE(server.Put("half", {{"m", 0.5f}}).ok());
  REQUIRE(server.Put("twice", {{"m", 2.0f}}).ok());
  REQUIRE(server.Put("full", {{"m", 1.0f}}).ok());
  for (const auto& [path, reason] : {std::pair("e", "replaces experts"), std::pair("dora", "DoRA")}) {
    INFO(path);
    CHECK_THAT(Refusal(Replace(server, "m", path)),
               Catch::Contains("adapter m") && Catch::Contains(reason) && Catch::Contains("half, twice") &&
                   Catch::Contains("factor") && !Catch::Contains("full"));
    CHECK(server.Info("m").version() == first);
    CHECK(server.Info("m").state() == v1::AdapterInfo::STATE_READY);
    CHECK(Serves(server, "half"));
  }
  // Who names another version hears of that.
  CHECK(Replace(server, "m", "e", first + 100).error_code() == grpc::ABORTED);
  // What factors are made for goes through, and so does everything once the tasks allow it.
  REQUIRE(Replace(server, "m", "b").ok());
  CHECK(Serves(server, "half"));
  REQUIRE(server.Put("half", {{"m", 1.0f}}).ok());
  REQUIRE(server.Delete("twice").ok());
  REQUIRE(Replace(server, "m", "e").ok());
  REQUIRE(Replace(server, "m", "dora").ok());
  CHECK(Serves(server, "half"));
  CHECK(Serves(server, "full"));
}

TEST_CASE("a replacement that replaces the experts of a task's other adapter is refused, naming both") {
  const AdapterWorld world;
  const AdapterServer server(AdapterConfigFor(world));
  server.LoadVersion("m", "a");
  server.LoadVersion("other", "e");
  server.LoadVersion("free", "a");
  REQUIRE(server.Put("both", {{"m", 1.0f}, {"other", 1.0f}}).ok());
  REQUIRE(server.Put("alone", {{"m", 1.0f}}).ok());
  // By expert_cfg.json: experts 1 and 6 of layer 0, the lowest first.
  CHECK_THAT(Refusal(Replace(server, "m", "e")),
             Catch::Contains("both") && Catch::Contains("other") && Catch::Contains("layer 0") &&
                 Catch::Contains("expert 1") && !Catch::Contains("alone"));
  CHECK(Serves(server, "both"));
  REQUIRE(Replace(server, "free", "e").ok());  // no task uses it
  // The other one goes over to other weights: its experts are free.
  REQUIRE(Replace(server, "other", "b").ok());
  REQUIRE(Replace(server, "m", "e").ok());
  CHECK(Serves(server, "both"));
  CHECK_THAT(Refusal(Replace(server, "other", "e")),
             Catch::Contains("both") && Catch::Contains("adapter other"));
}

TEST_CASE("a DoRA version on what another adapter of a task changes is refused, naming both and the module") {
  const AdapterWorld world;
  const std::string goldens = GUILDHALL_SOURCE_DIR "/tests/goldens_adapters/";
  fs::copy(goldens + "dora_per_expert/adapter_a", world.root + "/dora");
  fs::copy(goldens + "lora_per_expert_olmoe/adapter_a", world.root + "/experts");
  const AdapterServer server(AdapterConfigFor(world));
  const uint64_t first = server.LoadVersion("m", "experts");
  server.LoadVersion("other", "experts");
  server.LoadVersion("esft", "e");
  REQUIRE(server.Put("shared", {{"m", 1.0f}, {"other", 0.5f}}).ok());
  REQUIRE(server.Put("beside", {{"esft", 1.0f}, {"m", 1.0f}}).ok());
  REQUIRE(server.Put("alone", {{"m", 1.0f}}).ok());
  // Both change the experts of layer 0; and DoRA scales what the ESFT adapter replaces.
  CHECK_THAT(Refusal(Replace(server, "m", "dora")),
             Catch::Contains("adapter m") && Catch::Contains("shared: adapters 'm' and 'other'") &&
                 Catch::Contains("gate_proj of expert 0 of layer 0") &&
                 Catch::Contains("beside: adapters 'esft' and 'm'") &&
                 Catch::Contains("expert 1 of layer 0") && Catch::Contains("DoRA") &&
                 !Catch::Contains("alone:"));
  CHECK(server.Info("m").version() == first);
  for (const char* task : {"shared", "beside", "alone"}) CHECK(Serves(server, task));
  // A task is told the same, and the same version goes through once nobody minds it.
  REQUIRE(server.Put("shared", {{"m", 1.0f}}).ok());
  REQUIRE(server.Put("beside", {{"m", 1.0f}}).ok());
  REQUIRE(Replace(server, "m", "dora").ok());
  const grpc::Status put = server.Put("shared", {{"m", 1.0f}, {"other", 0.5f}});
  CHECK(put.error_code() == grpc::INVALID_ARGUMENT);
  CHECK_THAT(put.error_message(), Catch::Contains("'m' and 'other'") && Catch::Contains("DoRA"));
  for (const char* task : {"shared", "beside", "alone"}) CHECK(Serves(server, task));
}

TEST_CASE("a task that may not go on with what is being loaded is not put meanwhile") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  const uint64_t first = server.LoadVersion("m", "a");
  server.gate().Close();
  grpc::Status replaced;
  std::jthread load([&] { replaced = Replace(server, "m", "e", first); });
  server.gate().AwaitVisitor();
  const grpc::Status half = server.Put("half", {{"m", 0.5f}});
  const auto detail = Detail<google::rpc::PreconditionFailure>(half);
  CHECK((detail.violations_size() == 1 && detail.violations(0).type() == "ADAPTER_BUSY"));
  CHECK_THAT(half.error_message(), Catch::Contains("adapter m") && Catch::Contains("being replaced"));
  CHECK(server.Put("full", {{"m", 1.0f}}).ok());
  server.gate().Open();
  load.join();
  CHECK(replaced.ok());
  CHECK(server.Put("half", {{"m", 0.5f}}).error_code() == grpc::INVALID_ARGUMENT);
  CHECK(Serves(server, "full"));
}

TEST_CASE("an adapter comes back in a kind that the configured task did not allow, its task was put anew") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.state_file = world.folder / "state.json";
  config.adapters.preload["m"] = {"m", "a", false, ""};
  config.tasks["t"].id = "t";
  config.tasks["t"].adapters = {{"m", 0.5}};
  {
    const AdapterServer server(config);
    Refusal(Replace(server, "m", "e"));
    REQUIRE(server.Put("t", {{"m", 1.0f}}).ok());
    REQUIRE(Replace(server, "m", "e").ok());
  }
  const AdapterServer server(config);
  CHECK(server.Info("m").kind() == "esft");
  CHECK(Serves(server, "t"));
}

}  // namespace guildhall
