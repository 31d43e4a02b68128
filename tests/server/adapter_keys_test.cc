// Keys of the configuration about adapters that no other test of the server needs.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;

Json ReadConfig(const std::string& path) {
  std::ifstream file(path);
  return ParseJson(std::string(std::istreambuf_iterator<char>(file), {}), path).value();
}

}  // namespace

TEST_CASE("keys of adapters: unload_wait_s, require_base_name, ignore_config_keys, expert_config") {
  const AdapterWorld world;
  fs::copy(world.root + "/a", world.root + "/new");
  Json config = ReadConfig(world.root + "/new/adapter_config.json");
  config["not_known"] = 3;
  std::ofstream(world.root + "/new/adapter_config.json") << DumpJson(config);
  fs::copy(world.root + "/e", world.root + "/bare");
  fs::rename(world.root + "/bare/expert_cfg.json", world.root + "/choice.json");
  ServerConfig keys = AdapterConfigFor(world);
  CHECK_THAT(AdapterServer(keys).Load("m", "new").error_message(), Contains("not_known"));
  keys.adapters.ignore_config_keys = {"not_known"};
  keys.adapters.unload_wait_s = 0.0;
  keys.adapters.preload["bare"] = {"bare", "bare", false, "choice.json"};
  AdapterServer server(keys);
  CHECK(server.Load("m", "new").ok());
  CHECK_THAT(server.Info("bare").DebugString(), !Contains("derived from the tensors"));
  // The wait is over before it begins.
  const AdapterUse use{"m", 1.0f};
  auto reader = server.weights().Acquire({&use, 1}, absl::InfiniteFuture());
  REQUIRE(reader.ok());
  CHECK(server.Unload("m").error_code() == grpc::FAILED_PRECONDITION);
  reader->reset();
  keys.adapters.preload.clear();
  keys.adapters.require_base_name = "another/base";
  CHECK_THAT(AdapterServer(keys).Load("m", "new").error_message(), Contains("another/base"));
}

}  // namespace guildhall
