// The client commands as users type them, against a server in this process.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "client/command.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

struct Said {
  int exit_code = -1;
  std::string out, err;
};

// A standard stream goes into a file for as long as this lives.
class Captured {
 public:
  Captured(int stream, std::string file) : stream_(stream), file_(std::move(file)), saved_(dup(stream)) {
    std::fflush(nullptr);
    REQUIRE(std::freopen(file_.c_str(), "w", stream == STDOUT_FILENO ? stdout : stderr) != nullptr);
  }
  ~Captured() { Stop(); }
  std::string Stop() {
    if (saved_ < 0) return {};
    std::fflush(nullptr);
    dup2(saved_, stream_);
    close(saved_);
    saved_ = -1;
    std::ostringstream text;
    text << std::ifstream(file_).rdbuf();
    return text.str();
  }

 private:
  const int stream_;
  const std::string file_;
  int saved_;
};

// "guildhall ARGUMENTS". A command line that cannot be parsed is exit code 1, as main has it.
Said Run(std::vector<std::string> arguments) {
  CLI::App app("guildhall");
  app.require_subcommand(1);
  Action action;
  AddAdaptersCommand(app, action);
  AddTasksCommand(app, action);
  AddStatusCommand(app, action);
  std::reverse(arguments.begin(), arguments.end());
  const TempFolder folder;
  Said said;
  Captured out(STDOUT_FILENO, folder / "out"), err(STDERR_FILENO, folder / "err");
  try {
    app.parse(arguments);
    said.exit_code = action();
  } catch (const CLI::ParseError& error) {
    said.exit_code = app.exit(error) == 0 ? 0 : 1;
  }
  said.err = err.Stop();
  said.out = out.Stop();
  return said;
}

}  // namespace

TEST_CASE("a day with the adapter and task commands") {
  const AdapterWorld world;
  AdapterServer server(AdapterConfigFor(world));
  const std::string admin = server.server().admin()->Target();
  const std::string inference = server.server().inference().Target();
  const auto adapters = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "adapters");
    arguments.insert(arguments.end(), {"--admin", admin});
    return Run(std::move(arguments));
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

  said = Run({"tasks", "put", "sums", "--admin", admin, "--adapter", "math", "--adapter", "tone=0.5",
              "--description", "adds up", "--temperature", "0", "--max-tokens", "5"});
  INFO(said.err);
  CHECK(said.exit_code == 0);
  CHECK(said.out == "sums: added\n");
  for (const std::vector<std::string>& list :
       {std::vector<std::string>{"tasks", "--server", inference}, {"tasks", "list", "--server", inference}}) {
    said = Run(list);
    CHECK(said.exit_code == 0);
    CHECK_THAT(said.out, Catch::Contains("math, tone:0.5") && Catch::Contains("adds up"));
  }
  said = Run({"tasks", "list", "--json", "--server", inference});
  json = ParseJson(said.out, "list --json");
  REQUIRE(json.ok());
  CHECK((*json)["tasks"][1]["adapters"][1]["scale"] == 0.5);
  CHECK((*json)["tasks"][1]["defaults"]["max_tokens"] == "5");

  said = adapters({"list"});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("math") && Catch::Contains("ready") && Catch::Contains("resident") &&
                           Catch::Contains("sums") && Catch::Contains("budget   64.0 MiB"));
  said = Run({"status", "--admin", admin});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("ADAPTER") && Catch::Contains("budget   64.0 MiB"));
  const int64_t most = server.server().state().deployment()->engine->Status().kv_blocks_most;
  CHECK_THAT(said.out, Catch::Contains(", " + std::to_string(most) + " at most"));

  CHECK(adapters({"pin", "math", "--off"}).out.find("not pinned any more") != std::string::npos);
  said = adapters({"unload", "math"});
  CHECK(said.exit_code == 3);
  CHECK_THAT(said.err, Catch::Contains("FAILED_PRECONDITION") && Catch::Contains("sums"));
  said = Run({"tasks", "delete", "sums", "--admin", admin});
  CHECK(said.exit_code == 0);
  CHECK(said.out == "sums: deleted\n");
  said = adapters({"unload", "math", "--wait", "1.5"});
  CHECK(said.exit_code == 0);
  CHECK_THAT(said.out, Catch::Contains("are free again"));
  CHECK(Run({"tasks", "delete", "sums", "--admin", admin}).exit_code == 3);
}

TEST_CASE("commands that cannot be run say why: arguments 1, no server 2, refused 3") {
  CHECK(Run({"adapters"}).exit_code == 1);
  CHECK(Run({"adapters", "load", "x"}).exit_code == 1);
  CHECK(Run({"tasks", "put", "x", "--adapter", "a=b"}).exit_code == 1);
  CHECK(Run({"tasks", "put", "x", "--text", "prose"}).exit_code == 1);
  const Said nobody = Run({"adapters", "list", "--admin", "unix:/nowhere/at/all"});
  CHECK(nobody.exit_code == 2);
  CHECK_THAT(nobody.err, Catch::Contains("no answer from unix:/nowhere/at/all"));
  const Said help = Run({"adapters", "load", "--help"});
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
  const std::vector<std::string> list = {"adapters", "list", "--admin", server.server().admin()->Target()};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = list;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(std::move(arguments));
  };
  CHECK_THAT(with({}).err, Catch::Contains("UNAUTHENTICATED"));
  CHECK_THAT(with({"--token-file", folder / "wrong"}).err, Catch::Contains("PERMISSION_DENIED"));
  CHECK(with({"--token-file", folder / "token"}).exit_code == 0);
  CHECK(with({"--token", "correct horse"}).exit_code == 0);
}

}  // namespace guildhall
