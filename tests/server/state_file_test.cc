// What was changed at run time is there after a restart; a file that is broken is never used in part.
#include <sys/resource.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/keys.h"
#include "server/state_file.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

namespace fs = std::filesystem;

std::string Read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

RunTimeState SomeState() {
  RunTimeState state;
  state.adapters["math"] = AdapterConfig{"math", "esft/math", true, "cfg/expert_cfg.json"};
  state.adapters["gone"] = std::nullopt;
  TaskConfig task;
  task.id = "sums";
  task.adapters = {{"math", 1.0}, {"tone", 0.5}};
  task.system_prompt = "Add \"up\".\n\xc3\xa4";
  task.weight = 2.5;
  task.sampling.temperature = 0.0;
  task.sampling.stop = {"\n"};
  state.tasks["sums"] = task;
  state.tasks["old"] = std::nullopt;
  state.tasks[""] = TaskConfig();
  return state;
}

}  // namespace

TEST_CASE("a state file says again what was written, to its owner alone") {
  const TempFolder folder;
  const std::string path = folder / "state.json";
  const auto none = ReadStateFile(path);
  REQUIRE(none.ok());
  CHECK(none->tasks.empty());
  REQUIRE(WriteStateFile(path, RunTimeState()).ok());
  REQUIRE(WriteStateFile(path, SomeState()).ok());
  struct stat info {};
  REQUIRE(stat(path.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK_FALSE(fs::exists(path + ".new"));
  const auto state = ReadStateFile(path);
  INFO(state.status().ToString() << Read(path));
  REQUIRE(state.ok());
  CHECK(state->adapters.size() == 2);
  CHECK(state->adapters.at("math")->name == "math");
  CHECK(state->adapters.at("math")->path == "esft/math");
  CHECK(state->adapters.at("math")->pin);
  CHECK(state->adapters.at("math")->expert_config == "cfg/expert_cfg.json");
  CHECK_FALSE(state->adapters.at("gone").has_value());
  REQUIRE(state->tasks.size() == 3);
  CHECK_FALSE(state->tasks.at("old").has_value());
  TaskConfig task = *state->tasks.at("sums"), expected = *SomeState().tasks.at("sums");
  CHECK(task.id == "sums");
  for (const auto& key : TaskKeys()) CHECK(key.Get(task) == key.Get(expected));
}

TEST_CASE("a state file that cannot be read in full is refused with its place and the cure") {
  const TempFolder folder;
  const std::string path = folder / "state.json";
  REQUIRE(WriteStateFile(path, SomeState()).ok());
  const std::string good = Read(path);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "state.json"},
      {good.substr(0, good.size() / 2), "line"},
      {"[]", "state.json"},
      {R"({"guildhall_state": 2, "adapters": {}, "tasks": {}})", "guildhall_state"},
      {R"({"adapters": {}, "tasks": {}})", "guildhall_state"},
      {R"({"guildhall_state": 1, "adapters": {}})", "tasks"},
      {R"({"guildhall_state": 1, "adapters": {"a/b": {"path": "x"}}, "tasks": {}})", "a/b"},
      {R"({"guildhall_state": 1, "adapters": {"a": {"pth": "x"}}, "tasks": {}})", "pth"},
      {R"({"guildhall_state": 1, "adapters": {}, "tasks": {"t": {"weight": -1}}})", "weight"},
      {R"({"guildhall_state": 1, "adapters": {}, "tasks": {"t": 1}})", "tasks.t"},
      {R"({"guildhall_state": 1, "adapters": {}, "tasks": {}, "more": 1})", "more"},
  };
  for (const auto& [text, named] : cases) {
    INFO(text);
    std::ofstream(path) << text;
    const auto state = ReadStateFile(path);
    REQUIRE(state.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(state.status().message()),
               Catch::Contains(path) && Catch::Contains(named) && Catch::Contains("move it away"));
  }
  // Such a file refuses the start.
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.state_file = path;
  CHECK_THAT(std::string(StartStatus(config).message()), Catch::Contains("adapters.state_file"));
}

TEST_CASE("a file that cannot be written leaves the old one, and says so") {
  const TempFolder folder;
  const absl::Status status = WriteStateFile(folder / "nowhere/state.json", SomeState());
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(status.message()), Catch::Contains("nowhere/state.json"));
  REQUIRE(WriteStateFile(folder / "state.json", SomeState()).ok());
  const std::string before = Read(folder / "state.json");
  fs::create_directory(folder / "state.json.new");  // in the way of the new content
  CHECK_FALSE(WriteStateFile(folder / "state.json", RunTimeState()).ok());
  CHECK(Read(folder / "state.json") == before);
}

TEST_CASE("adapters and tasks of the run before come back, and those taken away stay away") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.state_file = world.folder / "state.json";
  config.adapters.preload["configured"] = {"configured", "b", false, ""};
  config.adapters.preload["dropped"] = {"dropped", "b", false, ""};
  config.tasks["kept"].id = "kept";
  config.tasks["kept"].adapters = {{"configured", 1.0}};
  config.tasks["deleted"].id = "deleted";
  {
    const AdapterServer server(config);
    v1::LoadAdapterRequest request;
    request.set_name("x");
    request.set_path("a");
    request.set_pin(true);
    REQUIRE(server.Load(request).ok());
    server.LoadVersion("y", "e");
    server.LoadVersion("z", "e");
    v1::TaskDefinition task;
    task.set_id("t");
    task.set_weight(3.0);
    task.mutable_sampling()->set_top_p(0.7f);
    task.add_adapters()->set_name("x");
    REQUIRE(server.Put(task).ok());
    REQUIRE(server.Put("u", {{"y", 1.0f}, {"x", 0.5f}}).ok());
    REQUIRE(server.Delete("deleted").ok());
    REQUIRE(server.Unload("dropped").ok());
    REQUIRE(server.Unload("z").ok());
    // What replaces a pinned version is pinned too, now and at the next start.
    request.set_name("held");
    v1::AdapterInfo held;
    REQUIRE(server.Load(request, &held).ok());
    request.set_path("b");
    request.set_pin(false);
    request.set_expected_version(held.version());
    REQUIRE(server.Load(request, &held).ok());
    CHECK(held.pinned());
  }
  CHECK_THAT(Read(config.adapters.state_file), Catch::Contains("\"top_p\": 0.7"));
  {
    const AdapterServer server(config);
    const v1::ListAdaptersResponse list = server.List();
    REQUIRE(list.adapters_size() == 4);
    CHECK(list.adapters(0).name() == "configured");
    CHECK_FALSE(list.adapters(0).pinned());
    CHECK(list.adapters(1).name() == "held");
    CHECK(list.adapters(1).path() == "b");
    CHECK(list.adapters(1).pinned());
    CHECK(list.adapters(2).name() == "x");
    CHECK(list.adapters(2).pinned());
    CHECK(list.adapters(3).name() == "y");
    for (const char* task : {"t", "u", "kept", ""}) {
      INFO(task);
      CHECK(Ask(*server.Inference(), ScoreRequest(task, {1, 2, 3})).status.ok());
    }
    CHECK(Ask(*server.Inference(), ScoreRequest("deleted", {1})).status.error_code() == grpc::NOT_FOUND);
    const Answer both = Ask(*server.Inference(), ScoreRequest("u", {1, 2, 3}));
    CHECK(both.end.adapters_size() == 2);
  }
  // What cannot be restored is left out; the rest is served, and the next start tries again.
  fs::rename(world.root + "/a", world.root + "/away");
  {
    const AdapterServer server(config);
    CHECK(server.List().adapters_size() == 3);
    CHECK(Ask(*server.Inference(), ScoreRequest("kept", {1, 2})).status.ok());
    CHECK(Ask(*server.Inference(), ScoreRequest("t", {1, 2})).status.error_code() == grpc::NOT_FOUND);
  }
  fs::rename(world.root + "/away", world.root + "/a");
  const AdapterServer server(config);
  CHECK(Ask(*server.Inference(), ScoreRequest("t", {1, 2})).status.ok());
}

TEST_CASE("state: a full disk is a want of resources, and leaves the old file whole") {
  const TempFolder folder;
  const std::string path = folder / "state.json";
  REQUIRE(WriteStateFile(path, SomeState()).ok());
  const std::string before = Read(path);
  // A limit on the size of files is met as a full disk is: in the middle of a write.
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{16, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const absl::Status status = WriteStateFile(path, SomeState());
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, ignored);
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(status.message()), Catch::Contains(path));
  CHECK(Read(path) == before);
  CHECK_FALSE(std::filesystem::exists(path + ".new"));
}

TEST_CASE("a change that cannot be kept is told, and is in force") {
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.adapters.state_file = world.folder / "nowhere/state.json";
  const AdapterServer server(config);
  const grpc::Status status = server.Load("x", "a");
  CHECK(status.error_code() == grpc::FAILED_PRECONDITION);
  CHECK_THAT(status.error_message(), Catch::Contains("in force") && !Catch::Contains(world.folder.path()));
  CHECK(server.Info("x").state() == v1::AdapterInfo::STATE_READY);
}

}  // namespace guildhall
