// guildhall inspect: what a model folder holds and whether it is served.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "checkpoint/inspect.h"
#include "commands/commands.h"

namespace guildhall {
namespace {

struct InspectFlags {
  std::string directory;
  std::vector<std::string> ignore_config_keys;
  bool json = false;
};

// 0: served, 1: nothing to say of it, 2: understood but not served.
int PrintInspection(const InspectFlags& flags) {
  CheckpointOptions options;
  options.ignore_config_keys = flags.ignore_config_keys;
  const absl::StatusOr<Inspection> inspection = Inspect(flags.directory, options);
  if (!inspection.ok()) {
    std::fprintf(stderr, "guildhall inspect: %s\n", std::string(inspection.status().message()).c_str());
    return 1;
  }
  std::printf("%s", (flags.json ? InspectJson(*inspection) : InspectText(*inspection)).c_str());
  return inspection->served ? 0 : 2;
}

}  // namespace

void AddInspectCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("inspect",
                                         "what a model folder holds, what it costs and whether it is served: "
                                         "exit 0 yes, 2 no, 1 no such folder");
  auto flags = std::make_shared<InspectFlags>();
  command->add_option("folder", flags->directory, "a Hugging Face model folder")->required();
  command->add_option("--ignore-config-key", flags->ignore_config_keys,
                      "a key of config.json that you know to be harmless (may be repeated)");
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return PrintInspection(*flags); }; });
}

}  // namespace guildhall
