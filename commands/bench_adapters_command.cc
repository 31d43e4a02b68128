// guildhall bench adapters: what adapters cost beside base rows.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "bench/adapter_bench.h"
#include "commands/bench_flags.h"
#include "commands/commands.h"

namespace guildhall {
namespace {

struct AdapterBenchFlags {
  AdapterBenchOptions options;
  bool json = false;
};

int RunAdapterBench(const AdapterBenchFlags& flags) {
  absl::Status status;
  auto bench = AdapterBench::Make(flags.options);
  if (bench.ok()) {
    Json report{
        {"machine", (*bench)->Describe()}, {"rounds", flags.options.rounds}, {"figures", Json::array()}};
    if (!flags.json)
      std::printf("%s\nratios: median (lowest .. highest) of %d rounds\n\n", (*bench)->Describe().c_str(),
                  flags.options.rounds);
    status = (*bench)->Run([&](const AdapterFigure& figure) {
      if (flags.json) {
        report["figures"].push_back(AdapterFigureJson(figure));
        return;
      }
      std::printf("%s", AdapterFigureText(figure).c_str());
      std::fflush(stdout);
    });
    if (status.ok() && flags.json) std::printf("%s\n", DumpJson(report, 2).c_str());
  } else {
    status = bench.status();
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall bench adapters: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace

void AddBenchAdaptersCommand(CLI::App& bench, Action& action) {
  CLI::App* command =
      bench.add_subcommand("adapters", "what adapters cost beside base rows of a generated shape");
  auto flags = std::make_shared<AdapterBenchFlags>();
  AddShapeFlags(*command, flags->options.shape, flags->options.layers);
  AddWeightsFlag(*command, flags->options.formats);
  AddBackendFlags(*command, flags->options.backend);
  AddRoundFlags(*command, flags->options.rounds, flags->options.seconds);
  command->add_option("--rank", flags->options.rank, "of the LoRA adapters")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--only", flags->options.only, "these sections instead of all")
      ->delimiter(',')
      ->check(
          CLI::IsMember(std::vector<std::string>(std::begin(kAdapterSections), std::end(kAdapterSections))));
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return RunAdapterBench(*flags); }; });
}

}  // namespace guildhall
