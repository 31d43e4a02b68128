// guildhall: one binary, one subcommand each for the server, its clients and its tools.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <new>
#include <string>
#include <system_error>

#include "base/address_space.h"
#include "client/command.h"
#include "commands/commands.h"
#include "server/version.h"

namespace {

// What the system refuses to a command is its error, as a file that is not there would be.
int RunOrSayWhat(const guildhall::Action& action) {
  std::string refused = "memory";
  try {
    return action();
  } catch (const std::bad_alloc&) {
  } catch (const std::system_error& error) {
    refused = error.what();
  }
  std::fprintf(stderr, "guildhall: the system refused what this needs: %s%s\n", refused.c_str(),
               guildhall::AddressSpaceNote(guildhall::ReadAddressSpace()).c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // A file that may not grow further is an error of the write, as a full disk is, and not the process's end.
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app("guildhall: many fine-tuned tasks over one mixture-of-experts model, in one batch");
  app.set_version_flag("--version", std::string("guildhall ") + guildhall::Version());
  app.require_subcommand(1);
  guildhall::Action action;
  guildhall::AddServeCommand(app, action);
  guildhall::AddGenerateCommand(app, action);
  guildhall::AddTasksCommand(app, action);
  guildhall::AddAdaptersCommand(app, action);
  guildhall::AddAdapterInspectCommand(*app.get_subcommand("adapters"), action);
  guildhall::AddAdapterDiffCommand(*app.get_subcommand("adapters"), action);
  guildhall::AddStatusCommand(app, action);
  guildhall::AddHealthCommand(app, action);
  guildhall::AddLoadCommand(app, action);
  guildhall::AddInspectCommand(app, action);
  guildhall::AddQuantizeCommand(app, action);
  guildhall::AddScoreCommand(app, action);
  guildhall::AddQualityCommand(app, action);
  guildhall::AddExpertsCommand(app, action);
  guildhall::AddBenchCommand(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return RunOrSayWhat(action);
}
