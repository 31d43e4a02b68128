// guildhall load against servers in this process, on real sockets.
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <thread>

#include "base/json.h"
#include "tests/server/adapter_fixture.h"
#include "tests/server/command_run.h"

namespace guildhall {
namespace {

// Tasks "plain" and "tell" of TestConfig, two prompts each; "plain" answers by the scripted model.
std::string PromptsFile(const TempFolder& folder) {
  const std::string file = folder / "prompts.json";
  std::ofstream(file) << R"({"plain": {"examples": [{"prompt": "one"}, {"prompt": "two", "expected": "no"}]},
                             "tell": {"examples": [{"prompt": "three"}, {"prompt": "four"}]}})";
  return file;
}

std::vector<std::string> Arguments(TestServer& server, const std::string& prompts,
                                   const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"load",         prompts, "--server", InferenceTarget(server.server()),
                                        "--max-tokens", "5"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Json Parsed(const Said& said) {
  INFO(said.out << said.err);
  const auto json = ParseJson(said.out, "report");
  REQUIRE(json.ok());
  return *json;
}

// TestConfig, but with room for every stream of a test.
ServerConfig RoomyConfig() {
  ServerConfig config = TestConfig();
  config.tasks["plain"].max_queued = 64;
  return config;
}

}  // namespace

TEST_CASE("load counts requests, tokens and times by task") {
  TestServer server({}, RoomyConfig());
  const TempFolder folder;
  const Said said = RunClient(Arguments(server, PromptsFile(folder), {"-n", "12", "-c", "3", "--json"}));
  CHECK(said.exit_code == 0);
  const Json json = Parsed(said);
  CHECK(json["streams"] == 3);
  CHECK(json["all"]["requests"] == 12);
  CHECK(json["all"]["errors"] == 0);
  CHECK(json["all"]["output_tokens"] == 60);
  CHECK(json["tasks"]["plain"]["requests"] == 6);
  CHECK(json["tasks"]["plain"]["with_expected"] == 3);
  CHECK(json["tasks"]["plain"]["exact"] == 0);
  CHECK(json["all"]["first_token_ms"]["p50"] > 0.0);
  // A whole answer may come in one chunk, which leaves no time of later tokens.
  for (const char* times : {"first_token_ms", "token_ms", "total_ms"}) {
    INFO(times);
    CHECK(json["all"][times]["p99"] >= json["all"][times]["p50"]);
  }
  CHECK(json["all"]["total_ms"]["p50"] >= json["all"]["first_token_ms"]["p50"]);
}

TEST_CASE("a sweep runs each level of concurrency and ends with one line for each") {
  TestServer server({}, RoomyConfig());
  const TempFolder folder;
  const std::string prompts = PromptsFile(folder);
  const Json runs = Parsed(RunClient(Arguments(server, prompts, {"-n", "8", "-c", "1,4", "--json"})))["runs"];
  REQUIRE(runs.size() == 2);
  CHECK(runs[0]["streams"] == 1);
  CHECK(runs[1]["streams"] == 4);
  CHECK(runs[1]["all"]["requests"] == 8);
  const Said text = RunClient(Arguments(server, prompts, {"-n", "8", "-c", "1,4"}));
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.out, Catch::Contains("STREAMS") && Catch::Contains("8 requests, 4 at once"));
}

TEST_CASE("open arrivals: the run lasts as long as its arrivals, skewed tasks get their share") {
  TestServer server({}, RoomyConfig());
  const TempFolder folder;
  const std::string prompts = PromptsFile(folder);
  const Json json = Parsed(RunClient(Arguments(server, prompts,
                                               {"-n", "40", "-c", "16", "--arrivals", "poisson:100",
                                                "--popularity", "zipf:2", "--seed", "5", "--json"})));
  CHECK(json["all"]["errors"] == 0);
  CHECK(json["seconds"] > 0.2);  // 40 arrivals at 100 per second, of this seed
  CHECK(json["tasks"]["plain"]["requests"].get<int>() > 2 * json["tasks"]["tell"]["requests"].get<int>());
  const Json again = Parsed(RunClient(Arguments(server, prompts,
                                                {"-n", "40", "-c", "16", "--arrivals", "bursty:200,20",
                                                 "--popularity", "zipf:2", "--seed", "5", "--json"})));
  CHECK(again["tasks"]["plain"]["requests"] == json["tasks"]["plain"]["requests"]);
}

TEST_CASE("times of open arrivals count from when a request was due, not from when a stream was free") {
  TestServer server({}, RoomyConfig());
  const TempFolder folder;
  server.model().Hold();
  std::thread release([&] {
    // Until the one stream has its request in the engine: the others are due and wait for the stream.
    server.WaitFor([](const auto& status) { return status.open_streams() == 1; });
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    server.model().Release();
  });
  const auto finished = RunClient(Arguments(
      server, PromptsFile(folder), {"-n", "4", "-c", "1", "--arrivals", "bursty:10000,4", "--json"}));
  release.join();  // it asserts, too: one thread at a time may
  const Json json = Parsed(finished);
  // All four were due together; a closed loop would report the wait for the first alone.
  CHECK(json["all"]["first_token_ms"]["p50"] >= 300.0);
}

TEST_CASE("requests that fail are counted by code, and the exit code says so") {
  TestServer server;
  const TempFolder folder;
  const std::string file = folder / "prompts.json";
  std::ofstream(file)
      << R"({"plain": {"examples": [{"prompt": "one"}]}, "nobody": {"examples": [{"prompt": "x"}]}})";
  const Said said = RunClient(Arguments(server, file, {"-n", "6", "-c", "1", "--json"}));
  CHECK(said.exit_code == 3);
  CHECK_THAT(said.err, Catch::Contains("task \"nobody\"") && Catch::Contains("NOT_FOUND"));
  const Json json = Parsed(said);
  CHECK(json["all"]["errors_by_code"] == Json{{"NOT_FOUND", 3}});
  CHECK(json["all"]["good"] == 3);
  CHECK(RunClient(Arguments(server, file, {"--arrivals", "sometimes"})).exit_code == 1);
  CHECK(RunClient(Arguments(server, file, {"--churn", "x"})).exit_code == 1);
  CHECK(RunClient(Arguments(server, file, {"--task", "absent"})).exit_code == 1);
}

TEST_CASE("an adapter is loaded and unloaded beside the requests, and left as it was") {
  TestServer server({}, RoomyConfig());
  const AdapterWorld world;
  AdapterServer adapters(AdapterConfigFor(world));
  const TempFolder folder;
  const std::string prompts = PromptsFile(folder), admin = AdminTarget(adapters.server());
  const auto run = [&](const std::string& churn) {
    return RunClient(
        Arguments(server, prompts, {"-n", "60", "-c", "4", "--admin", admin, "--churn", churn, "--json"}));
  };
  const Said said = run("beside=a");
  CHECK(said.exit_code == 0);
  const Json json = Parsed(said);
  CHECK(json["churn"]["loads"] >= 1);
  CHECK(json["churn"]["failures"] == 0);
  CHECK(json["churn"]["load_ms"]["p50"] > 0.0);
  CHECK(adapters.List().adapters().empty());
  const Said missing = run("beside=no-such-folder");
  CHECK(missing.exit_code == 3);
  CHECK_THAT(missing.err, Catch::Contains("--churn") && Catch::Contains("no-such-folder"));
  CHECK(Parsed(missing)["churn"]["failures"] == 1);
  CHECK(Parsed(missing)["all"]["errors"] == 0);
}

}  // namespace guildhall
