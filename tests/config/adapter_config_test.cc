// Adapters in the configuration: one spelling, checked by name before anything is loaded.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "config/keys.h"
#include "config/loader.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

absl::StatusOr<LoadedConfig> FromFile(const std::string& text) {
  const TempFolder folder;
  std::ofstream(folder / "server.json") << text;
  return LoadConfig({{folder / "server.json"}, {}, {}});
}

std::string Refusal(const absl::StatusOr<LoadedConfig>& loaded) {
  REQUIRE(loaded.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(loaded.status().message());
}

const char kWithAdapters[] = R"({
  "adapters": {"roots": ["adapters", "/srv/more"],
               "preload": {"math": {"path": "esft/math", "pin": true}, "v1.2": {"path": "v"}}},
  "tasks": {"a": {"adapters": ["math"]},
            "b": {"adapters": [{"name": "math"}, {"name": "v1.2", "scale": 0.5}]}}
})";

}  // namespace

TEST_CASE("adapters of the file: roots relative to it, names or names with factors for the tasks") {
  const TempFolder folder;
  std::ofstream(folder / "server.json") << kWithAdapters;
  const auto loaded = LoadConfig({{folder / "server.json"},
                                  {},
                                  {{"adapters.preload.v1.2.pin", "true", "--set"},
                                   {"tasks.c.adapters", "math,v1.2", "--set"},
                                   {"adapters.max_rank", "64", "--set"}}});
  INFO(loaded.status().ToString());
  REQUIRE(loaded.ok());
  const AdaptersConfig& adapters = loaded->config.adapters;
  CHECK(adapters.roots == std::vector<std::string>{folder / "adapters", "/srv/more"});
  CHECK(adapters.max_rank == 64);
  CHECK(adapters.allow_on_demand);
  REQUIRE(adapters.preload.size() == 2);
  CHECK(adapters.preload.at("math").name == "math");
  CHECK(adapters.preload.at("math").path == "esft/math");  // relative to a root, not to the file
  CHECK(adapters.preload.at("math").pin);
  CHECK(adapters.preload.at("v1.2").pin);
  const auto& tasks = loaded->config.tasks;
  CHECK(tasks.at("a").adapters == std::vector<TaskAdapter>{{"math", 1.0}});
  CHECK(tasks.at("b").adapters == std::vector<TaskAdapter>{{"math", 1.0}, {"v1.2", 0.5}});
  CHECK(tasks.at("c").adapters == std::vector<TaskAdapter>{{"math", 1.0}, {"v1.2", 1.0}});
  const std::string text = EffectiveConfigText(*loaded);
  CHECK_THAT(text, Catch::Contains("adapters.preload.math.path = \"esft/math\""));
  CHECK_THAT(text, Catch::Contains(R"(tasks.b.adapters = ["math",{"name":"v1.2","scale":0.5}])"));
}

TEST_CASE("environment variables take the map of adapters as a whole") {
  const auto loaded = LoadConfig(
      {{},
       {{"GUILDHALL_ADAPTERS_PRELOAD", R"({"m": {"path": "p"}})"}, {"GUILDHALL_ADAPTERS_ROOTS", "/a,/b"}},
       {}});
  REQUIRE(loaded.ok());
  CHECK(loaded->config.adapters.preload.at("m").path == "p");
  CHECK(loaded->config.adapters.roots == std::vector<std::string>{"/a", "/b"});
}

TEST_CASE("mistakes about adapters are named, with the nearest right word") {
  CHECK_THAT(Refusal(FromFile(R"({"tasks": {"t": {"adapter": "x"}}})")),
             Catch::Contains("unknown key \"adapter\"; did you mean \"adapters\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"root": ["x"]}})")),
             Catch::Contains("did you mean \"roots\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"preloads": {}}})")),
             Catch::Contains("did you mean \"preload\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"preload": {"m": {"pth": "x"}}}})")),
             Catch::Contains("adapters.preload.m") && Catch::Contains("did you mean \"path\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"preload": {"a b": {"path": "x"}}}})")),
             Catch::Contains("\"a b\" is no adapter's name"));
  for (const std::string name : {".", ".."}) {
    CHECK_THAT(Refusal(FromFile(R"({"adapters": {"preload": {")" + name + R"(": {"path": "x"}}}})")),
               Catch::Contains("is no adapter's name") && Catch::Contains("neither . nor .."));
  }
  CHECK_THAT(Refusal(FromFile(R"({"adapters": []})")), Catch::Contains("adapters: expected an object"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"roots": ["r"], "preload": {"math": {"path": "m"}}},
                                  "tasks": {"t": {"adapters": ["mth"]}}})")),
             Catch::Contains("tasks.t: adapters: there is no adapters.preload.mth; did you mean math?"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"preload": {"m": {"path": "x"}}}})")),
             Catch::Contains("adapters.roots is not set"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"roots": ["r"], "preload": {"m": {}}}})")),
             Catch::Contains("adapters.preload.m.path is not set"));
  CHECK_THAT(Refusal(FromFile(R"({"adapters": {"roots": ["r"], "preload": {"m": {"path": "x"}}},
                                  "tasks": {"": {"adapters": ["m"]}}})")),
             Catch::Contains("the base has none"));
}

TEST_CASE("a task's list of adapters: names once, factors in range, nothing else") {
  const auto refusal = [](const std::string& list) {
    return Refusal(FromFile(R"({"adapters": {"roots": ["r"], "preload": {"m": {"path": "x"}}},
                                "tasks": {"t": {"adapters": )" +
                            list + "}}}"));
  };
  CHECK_THAT(refusal("\"m\""), Catch::Contains("tasks.t.adapters: expected a list of adapters"));
  CHECK_THAT(refusal("[1]"), Catch::Contains("tasks.t.adapters[0]"));
  CHECK_THAT(refusal("[\"m\", \"m\"]"), Catch::Contains("tasks.t.adapters[1]: m is there twice"));
  CHECK_THAT(refusal(R"([{"name": "m", "scale": 1001}])"),
             Catch::Contains("scale") && Catch::Contains("1001"));
  CHECK_THAT(refusal(R"([{"name": "m", "scal": 1}])"), Catch::Contains("scal"));
  CHECK_THAT(refusal(R"([{"scale": 1}])"), Catch::Contains("name"));
  CHECK_THAT(refusal(R"(["../m"])"), Catch::Contains("\"../m\" is no adapter's name"));
  std::string many = "[";
  for (int i = 0; i < 17; ++i) many += (i == 0 ? "\"n" : ",\"n") + std::to_string(i) + "\"";
  CHECK_THAT(refusal(many + "]"), Catch::Contains("at most 16 adapters, found 17"));
}

}  // namespace guildhall
