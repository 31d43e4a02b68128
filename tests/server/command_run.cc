#include "tests/server/command_run.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "client/command.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

// A standard stream goes into a file for as long as this lives.
class Captured {
 public:
  Captured(int stream, std::string file) : stream_(stream), file_(std::move(file)), saved_(dup(stream)) {
    std::fflush(nullptr);
    REQUIRE(std::freopen(file_.c_str(), "w", stream == STDOUT_FILENO ? stdout : stderr) != nullptr);
  }
  ~Captured() { Stop(); }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
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

}  // namespace

Said RunClient(std::vector<std::string> arguments) {
  CLI::App app("guildhall");
  app.require_subcommand(1);
  Action action;
  AddAdaptersCommand(app, action);
  AddTasksCommand(app, action);
  AddStatusCommand(app, action);
  AddLoadCommand(app, action);
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

}  // namespace guildhall
