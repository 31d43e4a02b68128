// The client commands as users type them, against a server in this process.
#include <catch2/catch.hpp>
#include <fstream>

#include "base/json.h"
#include "tests/server/adapter_fixture.h"
#include "tests/server/command_run.h"

namespace guildhall {
TEST_CASE("a day with the adapter and task commands") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  const std::string admin = AdminTarget(server.server());
  const std::string inference = InferenceTarget(server.server());
  const auto adapters = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "adapters");
    arguments.insert(arguments.end(), {"--admin", admin});
    return RunClient(std::move(arguments));
  };

  Said said = adapters({"load", "math", "e/", "--pin"});  // the slash that a shell completes
  INFO(said.err);
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("math: esft, version ") && Catch::Contains("pinned"));
  said = adapters({"load", "tone", "a", "--json"});
  CHECK(said.exit_code == 0);
  auto json = ParseJson(said.out, "load --json");
  REQUIRE(json.ok());
  CHECK((*json)["kind"] == "lora");
  const std::string version = (*json)["version"].get<std::string>();

  said = adapters({"load", "tone", "b"});
  CHECK(said.exit_code == 3);
  CHECK_THAT(said.err, Catch::Contains("guildhall adapters load: ALREADY_EXISTS") && Catch::Contains("tone"));
  CHECK(adapters({"load", "tone", "b", "--expected-version", version}).exit_code == 0);

  said = RunClient({"tasks", "put", "sums", "--admin", admin, "--adapter", "math", "--adapter", "tone=0.5",
                    "--description", "adds up", "--temperature", "0", "--max-tokens", "5"});
  INFO(said.err);
  CHECK(said.exit_code == 0);
  CHECK(said.out == "sums: added\n");
  for (const std::vector<std::string>& list :
       {std::vector<std::string>{"tasks", "--server", inference}, {"tasks", "list", "--server", inference}}) {
    said = RunClient(list);
    CHECK(said.exit_code == 0);
    CHECK_THAT(said.out, Catch::Contains("math, tone:0.5") && Catch::Contains("adds up"));
  }
  said = RunClient({"tasks", "list", "--json", "--server", inference});
  json = ParseJson(said.out, "list --json");
  REQUIRE(json.ok());
  CHECK((*json)["tasks"][1]["adapters"][1]["scale"] == 0.5);
  CHECK((*json)["tasks"][1]["defaults"]["max_tokens"] == "5");

  said = adapters({"list"});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("math") && Catch::Contains("ready") && Catch::Contains("resident") &&
                           Catch::Contains("sums") && Catch::Contains("budget   64.0 MiB"));
  said = RunClient({"status", "--admin", admin});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("ADAPTER") && Catch::Contains("budget   64.0 MiB"));
  CHECK_THAT(said.out, Catch::Contains("LISTENER") && Catch::Contains("\nrequests ") &&
                           Catch::Contains("\nadministration ") && Catch::Contains(" of 64 "));
  const int64_t most = server.server().state().deployment()->engine->Status().kv_blocks_most;
  CHECK_THAT(said.out, Catch::Contains(", " + std::to_string(most) + " at most"));

  CHECK(adapters({"pin", "math", "--off"}).out.find("not pinned any more") != std::string::npos);
  said = adapters({"unload", "math"});
  CHECK(said.exit_code == 3);
  CHECK_THAT(said.err, Catch::Contains("FAILED_PRECONDITION") && Catch::Contains("sums"));
  said = RunClient({"tasks", "delete", "sums", "--admin", admin});
  CHECK(said.exit_code == 0);
  CHECK(said.out == "sums: deleted\n");
  said = adapters({"unload", "math", "--wait", "1.5"});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("are free again"));
  CHECK(RunClient({"tasks", "delete", "sums", "--admin", admin}).exit_code == 3);
}

TEST_CASE("commands that cannot be run say why: arguments 1, no server 2, refused 3") {
  CHECK(RunClient({"adapters"}).exit_code == 1);
  CHECK(RunClient({"adapters", "load", "x"}).exit_code == 1);
  CHECK(RunClient({"tasks", "put", "x", "--adapter", "a=b"}).exit_code == 1);
  CHECK(RunClient({"tasks", "put", "x", "--text", "prose"}).exit_code == 1);
  const Said nobody = RunClient({"adapters", "list", "--admin", "unix:/nowhere/at/all"});
  CHECK(nobody.exit_code == 2);
  CHECK_THAT(nobody.err, Catch::Contains("no answer from unix:/nowhere/at/all"));
  const Said help = RunClient({"adapters", "load", "--help"});
  CHECK(help.exit_code == 0);
  CHECK_THAT(help.out, Catch::Contains("guildhall adapters load math esft/gate-math --pin"));
}

TEST_CASE("the token comes from a flag or from a file") {
  const TempFolder folder;
  std::ofstream(folder / "token") << "correct horse\n";
  std::ofstream(folder / "wrong") << "battery staple\n";
  const AdapterWorld world;
  ServerConfig config = AdapterConfigFor(world);
  config.admin.token = "correct horse";
  AdapterServer server(config);
  const std::vector<std::string> list = {"adapters", "list", "--admin", AdminTarget(server.server())};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = list;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunClient(std::move(arguments));
  };
  CHECK_THAT(with({}).err, Catch::Contains("UNAUTHENTICATED"));
  CHECK_THAT(with({"--token-file", folder / "wrong"}).err, Catch::Contains("PERMISSION_DENIED"));
  CHECK(with({"--token-file", folder / "token"}).exit_code == 0);
  CHECK(with({"--token", "correct horse"}).exit_code == 0);
}

}  // namespace guildhall
