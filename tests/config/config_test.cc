// Files, environment and overrides become one configuration; mistakes are refused by name.
#include <catch2/catch.hpp>
#include <fstream>
#include <set>

#include "base/json.h"
#include "base/mapped_file.h"
#include "config/environment.h"
#include "config/keys.h"
#include "config/listen_address.h"
#include "config/loader.h"
#include "config/step_target.h"
#include "tests/support/temp_folder.h"

namespace guildhall {
namespace {

// A file that goes with its owner.
class TempFile {
 public:
  explicit TempFile(const std::string& text) { std::ofstream(path()) << text; }
  std::string path() const { return folder_ / "server.json"; }
  const std::string& folder() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

absl::StatusOr<LoadedConfig> FromFile(const std::string& text) {
  const TempFile file(text);
  return LoadConfig({{file.path()}, {}, {}});
}

absl::StatusOr<LoadedConfig> FromEnvironment(std::map<std::string, std::string> environment) {
  return LoadConfig({{}, std::move(environment), {}});
}

absl::StatusOr<LoadedConfig> FromSet(const std::string& key, const std::string& value) {
  return LoadConfig({{}, {}, {{key, value, "--set"}}});
}

std::string Refusal(const absl::StatusOr<LoadedConfig>& loaded) {
  REQUIRE(loaded.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(loaded.status().message());
}

// The part of the schema that describes `path`; null where there is none.
const Json* SchemaAt(const Json& root, const std::string& path) {
  const Json* at = &root;
  size_t begin = 0;
  while (true) {
    const size_t dot = path.find('.', begin);
    const std::string name = path.substr(begin, dot == std::string::npos ? dot : dot - begin);
    if (!at->contains("properties") || !(*at)["properties"].contains(name)) return nullptr;
    at = &(*at)["properties"][name];
    if (dot == std::string::npos) return at;
    begin = dot + 1;
  }
}

// Every path below `schema` that is no object.
void Leaves(const Json& schema, const std::string& path, std::set<std::string>& out) {
  for (const auto& [name, value] : schema["properties"].items()) {
    const std::string child = path.empty() ? name : path + "." + name;
    if (value.contains("properties")) {
      Leaves(value, child, out);
    } else {
      out.insert(child);
    }
  }
}

template <typename Owner>
void CheckAgainst(const Json& schema, const std::vector<ConfigKey<Owner>>& keys) {
  Owner defaults;
  for (const auto& key : keys) {
    INFO(key.path);
    const Json* leaf = SchemaAt(schema, key.path);
    REQUIRE(leaf != nullptr);
    const Json& type = (*leaf)["type"];
    CHECK((type.is_array() ? type[0] : type) == key.JsonType());
    CHECK((*leaf)["default"] == key.Get(defaults));
    CHECK_FALSE(key.help.empty());
  }
}

}  // namespace

TEST_CASE("a later source beats an earlier one, and each value tells where it comes from") {
  const TempFile file(R"({
    // comments are allowed
    "model": {"path": "models/tiny"},
    "engine": {"max_running": 8, "max_queued": 9},
    "tasks": {"a.b": {"weight": 2.5, "sampling": {"top_p": 0.5, "stop": ["x"]}}}
  })");
  const auto loaded =
      LoadConfig({{file.path()},
                  {{"GUILDHALL_ENGINE_MAX_RUNNING", "16"}, {"GUILDHALL_CPU_PIN", "false"}, {"PATH", "/bin"}},
                  {{"engine.max_running", "32", "--set"},
                   {"tasks.a.b.sampling.top_k", "7", "--set"},
                   {"tasks.new.weight", "3", "--set"}}});
  INFO(loaded.status().ToString());
  REQUIRE(loaded.ok());
  const ServerConfig& config = loaded->config;
  CHECK(config.engine.max_running == 32);
  CHECK(config.engine.max_queued == 9);
  CHECK(config.engine.token_budget == EngineConfig().token_budget);
  CHECK_FALSE(config.cpu.pin);
  // Paths of a file are relative to the file.
  CHECK(config.model.path == file.folder() + "/models/tiny");
  const TaskConfig& task = config.tasks.at("a.b");
  CHECK(task.id == "a.b");
  CHECK(task.weight == 2.5);
  CHECK(task.sampling.top_p == 0.5);
  CHECK(task.sampling.top_k == 7);
  CHECK_FALSE(task.sampling.temperature.has_value());
  CHECK(task.sampling.stop == std::vector<std::string>{"x"});
  CHECK(config.tasks.at("new").weight == 3.0);

  CHECK(loaded->origins.at("engine.max_running") == "--set");
  CHECK(loaded->origins.at("engine.max_queued") == "file " + file.path());
  CHECK(loaded->origins.at("cpu.pin") == "environment GUILDHALL_CPU_PIN");
  CHECK(loaded->origins.count("engine.token_budget") == 0);
  const std::string text = EffectiveConfigText(*loaded);
  CHECK_THAT(text, Catch::Contains("engine.max_running = 32") && Catch::Contains("# --set\n"));
  CHECK_THAT(text, Catch::Contains("engine.token_budget = 512") && Catch::Contains("# default\n"));
  CHECK_THAT(text, Catch::Contains("tasks.a.b.sampling.top_p = 0.5"));
}

TEST_CASE("an unknown key is refused with the nearest known one") {
  CHECK_THAT(Refusal(FromFile(R"({"engin": {}})")),
             Catch::Contains("unknown key \"engin\"; did you mean \"engine\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"server": {"lsten": "x"}})")), Catch::Contains("did you mean \"listen\"?"));
  CHECK_THAT(Refusal(FromFile(R"({"tasks": {"t": {"sampling": {"top-p": 1}}}})")),
             Catch::Contains("tasks.t.sampling") && Catch::Contains("did you mean \"top_p\"?"));
  CHECK_THAT(Refusal(FromEnvironment({{"GUILDHALL_CPU_THREAD", "1"}})),
             Catch::Contains("unknown variable GUILDHALL_CPU_THREAD; did you mean GUILDHALL_CPU_THREADS?"));
  CHECK_THAT(Refusal(FromSet("engine.max_runing", "1")), Catch::Contains("did you mean engine.max_running?"));
  CHECK_THAT(Refusal(FromSet("tasks.t.wieght", "1")), Catch::Contains("did you mean t.weight?"));
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"max_queued": 1, "max_queued": 2}})")),
             Catch::Contains("max_queued"));
}

TEST_CASE("variables that others put beside a service called guildhall are no configuration") {
  CHECK(FromEnvironment({{"GUILDHALL_SERVICE_HOST", "10.0.0.1"},
                         {"GUILDHALL_PORT", "tcp://10.0.0.1:1"},
                         {"GUILDHALL_ISA", "avx2"}})
            .ok());
}

// What the kubelet makes of a service: its own two, the same for each port with a name, and those of links.
std::map<std::string, std::string> ServiceVariables(const std::string& prefix, const std::string& host,
                                                    const std::string& protocol, const std::string& lower) {
  const std::string url =
      lower + "://" + (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":50052";
  const std::string port = prefix + "_PORT_50052_" + protocol;
  return {{prefix + "_SERVICE_HOST", host},
          {prefix + "_SERVICE_PORT", "50052"},
          {prefix + "_SERVICE_PORT_GRPC", "50052"},
          {prefix + "_SERVICE_PORT_ADMIN_TLS", "50052"},
          {prefix + "_PORT", url},
          {port, url},
          {port + "_PROTO", lower},
          {port + "_PORT", "50052"},
          {port + "_ADDR", host}};
}

TEST_CASE("what Kubernetes makes of any service is no configuration, and changes none") {
  const auto plain = EffectiveConfigText(*FromEnvironment({}));
  for (const char* service : {"GUILDHALL", "GUILDHALL_ADMIN", "GUILDHALL_SERVER", "GUILDHALL_GRPC",
                              "GUILDHALL_CONFIG", "GUILDHALL_CLIENT", "GUILDHALL_ENGINE_SERVICE",
                              "GUILDHALL_MEMORY_PORT", "GUILDHALL_7B_2", "GUILDHALL_PORT_1_TCP"}) {
    for (const auto& [host, protocol, lower] :
         {std::tuple{"10.43.1.39", "TCP", "tcp"}, std::tuple{"fd00::1", "UDP", "udp"},
          std::tuple{"10.0.0.1", "SCTP", "sctp"}}) {
      INFO(service << " " << protocol);
      const auto loaded = FromEnvironment(ServiceVariables(service, host, protocol, lower));
      REQUIRE(loaded.ok());
      CHECK(EffectiveConfigText(*loaded) == plain);
    }
  }
  for (const auto& key : ServerKeys()) {
    INFO(key.path);
    CHECK_FALSE(IsServiceVariable(EnvironmentName(key.path), "tcp://10.0.0.1:1"));
    CHECK_FALSE(IsServiceVariable(EnvironmentName(key.path), "50052"));
  }
}

TEST_CASE("a variable of our own form that is no key is refused, however near to a service's it comes") {
  for (const auto& [name, value, nearest] :
       {std::tuple{"GUILDHALL_SERVER_PORT", "50051", ""}, std::tuple{"GUILDHALL_PORT", "50051", ""},
        std::tuple{"GUILDHALL_SERVICE", "x", ""}, std::tuple{"GUILDHALL_SERVICE_PORT", "grpc", ""},
        std::tuple{"GUILDHALL_SERVICE_PORTAL", "1", ""}, std::tuple{"GUILDHALL_PORT_X_TCP", "1", ""},
        std::tuple{"GUILDHALL_ADMIN_LISTN", "x", "did you mean GUILDHALL_ADMIN_LISTEN?"},
        std::tuple{"GUILDHALL_MODEL_PAHT", "x", "did you mean GUILDHALL_MODEL_PATH?"}}) {
    INFO(name);
    const std::string text = Refusal(FromEnvironment({{name, value}}));
    CHECK_THAT(text, Catch::Contains(std::string("unknown variable ") + name) && Catch::Contains(nearest));
  }
}

TEST_CASE("a wrong value names its source, the key, what was expected and what was found") {
  CHECK_THAT(
      Refusal(FromFile(R"({"engine": {"max_running": "many"}})")),
      Catch::Contains("server.json: engine.max_running: expected an integer from 1 to 4096, found \"many\""));
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"max_running": 0}})")), Catch::Contains("found 0"));
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"max_running": 4097}})")), Catch::Contains("found 4097"));
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"max_running": 1.5}})")), Catch::Contains("found 1.5"));
  CHECK_THAT(Refusal(FromEnvironment({{"GUILDHALL_ENGINE_PREFIX_CACHE", "yes"}})),
             Catch::Contains(
                 "environment GUILDHALL_ENGINE_PREFIX_CACHE: engine.prefix_cache: expected true or false"));
  CHECK_THAT(Refusal(FromFile(R"({"log": {"format": "xml"}})")),
             Catch::Contains("one of \"text\", \"json\", found \"xml\""));
  CHECK_THAT(Refusal(FromFile(R"({"sampling": {"top_p": -1}})")), Catch::Contains("from 0 to 1, found -1"));
  CHECK_THAT(Refusal(FromFile(R"({"sampling": {"bad_words_ids": [1]}})")),
             Catch::Contains("sampling.bad_words_ids: expected a list of lists of integers"));
  CHECK_THAT(Refusal(FromFile(R"({"sampling": {"bad_words_ids": [[]]}})")), Catch::Contains("found [[]]"));
  CHECK_THAT(Refusal(FromFile(R"({"model": []})")), Catch::Contains("model: expected an object"));
  CHECK_THAT(Refusal(FromFile(R"({"tasks": {"../x": {}}})")), Catch::Contains("is no task id"));
  CHECK_THAT(Refusal(FromFile("{")), Catch::Contains("line 1"));
  CHECK(LoadConfig({{"/nowhere/server.json"}, {}, {}}).status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("devices are named by kind and number") {
  const std::string name = GENERATE("auto", "cpu", "cuda", "cuda:0", "cuda:15");
  CHECK(FromFile(R"({"device": ")" + name + "\"}")->config.device == name);
  const std::string bad =
      GENERATE("tpu", "", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:99999999999", "CPU");
  CHECK_THAT(
      Refusal(FromFile(R"({"device": ")" + bad + "\"}")),
      Catch::Contains("device: expected \"auto\", \"cpu\", \"cuda\" or \"cuda:1\", found \"" + bad + "\""));
}

TEST_CASE("lists come as JSON or with commas, and null takes an optional value back") {
  const auto lists = LoadConfig(
      {{},
       {{"GUILDHALL_MODEL_IGNORE_CONFIG_KEYS", "a,b"}, {"GUILDHALL_SAMPLING_STOP_TOKEN_IDS", "[1, 2]"}},
       {{"sampling.stop", "[\"a,b\"]", "--set"}, {"sampling.top_k", "null", "--set"}}});
  REQUIRE(lists.ok());
  CHECK(lists->config.model.ignore_config_keys == std::vector<std::string>{"a", "b"});
  CHECK(lists->config.sampling.stop_token_ids == std::vector<int64_t>{1, 2});
  CHECK(lists->config.sampling.stop == std::vector<std::string>{"a,b"});
  CHECK_FALSE(lists->config.sampling.top_k.has_value());
}

TEST_CASE("secrets are neither printed nor quoted in errors") {
  const auto loaded = FromFile(R"({"admin": {"token": "hunter2"}})");
  REQUIRE(loaded.ok());
  CHECK(loaded->config.admin.token == "hunter2");
  const std::string text = EffectiveConfigText(*loaded);
  CHECK_THAT(text, !Catch::Contains("hunter2"));
  CHECK_THAT(text, Catch::Contains("admin.token = \"***\""));
  CHECK_THAT(Refusal(FromFile(R"({"admin": {"token": 4711}})")), !Catch::Contains("4711"));
  // An empty one would open what it should close.
  CHECK_THAT(Refusal(FromFile(R"({"admin": {"token": ""}})")),
             Catch::Contains("admin.token: expected a secret"));
  CHECK_THAT(Refusal(FromSet("admin.token", "")), Catch::Contains("admin.token"));
}

TEST_CASE("keys that need or exclude each other are checked together") {
  CHECK_THAT(Refusal(FromSet("admin.listen", "0.0.0.0:50052")), Catch::Contains("nothing guards it"));
  CHECK_THAT(Refusal(FromFile(R"({"admin": {"listen": "0.0.0.0:1", "token": "t"}})")),
             Catch::Contains("clear text"));
  CHECK(
      FromFile(R"({"admin": {"listen": "0.0.0.0:1", "token": "t", "tls": {"certificate": "c", "key": "k"}}})")
          .ok());
  CHECK(FromSet("admin.listen", "unix:/tmp/admin.sock").ok());
  CHECK(FromSet("admin.listen", "[::1]:50052").ok());
  CHECK_THAT(Refusal(FromSet("server.tls.key", "k")), Catch::Contains("belong together"));
  CHECK_THAT(Refusal(FromSet("server.listen", "127.0.0.1:50052")), Catch::Contains("are the same"));
  CHECK_THAT(Refusal(FromSet("engine.prefill_chunk", "513")), Catch::Contains("above engine.token_budget"));
  CHECK_THAT(Refusal(FromSet("engine.speculation.max_ngram", "1")),
             Catch::Contains("engine.speculation.min_ngram (2) is above"));
  CHECK_THAT(Refusal(FromSet("tasks.t.adapters", "x")), Catch::Contains("no adapters.preload.x"));
}

TEST_CASE("the step's target is auto, none or milliseconds") {
  CHECK(ParseStepTarget("auto")->mode == StepCost::Mode::kAuto);
  CHECK(ParseStepTarget("none")->mode == StepCost::Mode::kUnbounded);
  const auto target = ParseStepTarget("12.5");
  REQUIRE(target.ok());
  CHECK(target->mode == StepCost::Mode::kTarget);
  CHECK(target->target == absl::Microseconds(12500));
  for (const char* bad : {"", "soon", "0", "-5", "12ms", "1e9", "nan", " 5"}) {
    INFO(bad);
    CHECK_FALSE(ParseStepTarget(bad).ok());
    CHECK_THAT(Refusal(FromSet("engine.target_step_ms", bad)), Catch::Contains("0.1 to 60000, found"));
  }
}

TEST_CASE("the step's target may be written as a number") {
  CHECK(FromFile(R"({"engine": {"target_step_ms": 20}})")->config.engine.target_step_ms == "20");
  CHECK(FromFile(R"({"engine": {"target_step_ms": 12.5}})")->config.engine.target_step_ms == "12.5");
  CHECK(FromFile(R"({"engine": {"target_step_ms": "20"}})")->config.engine.target_step_ms == "20");
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"target_step_ms": 0}})")), Catch::Contains("0.1 to 60000"));
  CHECK_THAT(Refusal(FromFile(R"({"engine": {"target_step_ms": true}})")),
             Catch::Contains("engine.target_step_ms: expected a string or a number, found true"));
  CHECK_THAT(Refusal(FromFile(R"({"cpu": {"isa": 2}})")), Catch::Contains("expected a string, found 2"));
}

TEST_CASE("weight formats by kind: one of the known words, auto without one") {
  CHECK(FromSet("weights.experts", "int4")->config.weights.experts == "int4");
  CHECK(FromSet("weights.head", "int4_offset")->config.weights.attention == "auto");
  CHECK(FromEnvironment({{"GUILDHALL_WEIGHTS_SHARED_EXPERTS", "bf16"}})->config.weights.shared_experts ==
        "bf16");
  CHECK_THAT(Refusal(FromSet("weights.dense", "int3")),
             Catch::Contains("weights.dense") && Catch::Contains("int4_offset") && Catch::Contains("int3"));
  CHECK_THAT(Refusal(FromFile(R"({"weights": {"expert": "int8"}})")),
             Catch::Contains(R"(weights: unknown key "expert"; did you mean "experts"?)"));
  CHECK(FromSet("adapters.expert_format", "keep")->config.adapters.expert_format == "keep");
  CHECK_THAT(Refusal(FromSet("adapters.expert_format", "int8")),
             Catch::Contains("base") && Catch::Contains("keep"));
  CHECK_FALSE(FromSet("weights.map", "true")->config.weights.map == WeightsConfig().map);
}

TEST_CASE("listen addresses") {
  const auto port = ParseListenAddress("[::1]:0", "k");
  REQUIRE(port.ok());
  CHECK(port->Text() == "[::1]:0");
  CHECK(port->local());
  CHECK_FALSE(ParseListenAddress("0.0.0.0:1", "k")->local());
  CHECK(ParseListenAddress("127.9.9.9:1", "k")->local());
  for (const char* bad : {"", "localhost", ":1", "a:b", "a:65536", "a:-1", "::1:5", "unix:", "a:1x"}) {
    INFO(bad);
    CHECK_FALSE(ParseListenAddress(bad, "k").ok());
  }
  CHECK_FALSE(ParseListenAddress("unix:/" + std::string(200, 'x'), "k").ok());
}

TEST_CASE("every key has a variable of its own") {
  std::set<std::string> names{"GUILDHALL_TASKS", "GUILDHALL_ADAPTERS_PRELOAD", "GUILDHALL_ISA",
                              "GUILDHALL_CONFIG"};
  for (const auto& key : ServerKeys()) CHECK(names.insert(EnvironmentName(key.path)).second);
  CHECK(EnvironmentName("server.keepalive.time_s") == "GUILDHALL_SERVER_KEEPALIVE_TIME_S");
}

TEST_CASE("the shipped schema has the keys, types and defaults of the loader, and no others") {
  const auto text =
      ReadSmallFile(std::string(GUILDHALL_SOURCE_DIR) + "/configs/guildhall.schema.json", 1 << 20);
  REQUIRE(text.ok());
  const auto schema = ParseJson(*text, "schema");
  REQUIRE(schema.ok());
  CheckAgainst(*schema, ServerKeys());
  const Json& task = (*schema)["properties"]["tasks"]["additionalProperties"];
  CheckAgainst(task, TaskKeys());
  CheckAgainst((*schema)["properties"]["adapters"]["properties"]["preload"]["additionalProperties"],
               AdapterKeys());
  std::set<std::string> found, task_found;
  Leaves(*schema, "", found);
  Leaves(task, "", task_found);
  CHECK(found.size() == ServerKeys().size() + 3);  // "$schema", "tasks", "adapters.preload"
  CHECK(task_found.size() == TaskKeys().size());
  // Ranges, choices and descriptions too: the file is what the table writes.
  CHECK(*text == ConfigSchemaText());
}

}  // namespace guildhall
