// guildhall bench adapters: what adapters cost beside base rows.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "bench/adapter_bench.h"
#include "bench/shapes.h"
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
        report["figures"].push_back({{"name", figure.name},
                                     {"ratio", figure.ratio},
                                     {"low", figure.low},
                                     {"high", figure.high},
                                     {"what", figure.what},
                                     {"mark", figure.mark}});
        return;
      }
      std::printf("%5.3f (%5.3f .. %5.3f)  %-66s %-8s\n%24s%s\n", figure.ratio, figure.low, figure.high,
                  figure.name.c_str(), figure.mark.c_str(), "", figure.what.c_str());
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
  command->add_option("--shape", flags->options.shape, "the shape to generate")
      ->check(CLI::IsMember(ShapeNames()))
      ->capture_default_str();
  command->add_option("--layers", flags->options.layers, "fewer layers than the shape has; 0: all")
      ->check(CLI::Range(0, 1000));
  command->add_option("--rank", flags->options.rank, "of the LoRA adapters")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--threads", flags->options.cpu.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--pin", flags->options.cpu.pin, "bind the threads to CPUs");
  command->add_option("--isa", flags->options.cpu.isa,
                      "portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
  command->add_option("--rounds", flags->options.rounds, "pairs of measurements of each figure")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--seconds", flags->options.seconds, "of each measurement")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--only", flags->options.only, "one section instead of all")
      ->check(
          CLI::IsMember(std::vector<std::string>(std::begin(kAdapterSections), std::end(kAdapterSections))));
  command->add_flag("--json", flags->json, "print JSON");
  command->callback([flags, &action] { action = [flags] { return RunAdapterBench(*flags); }; });
}

}  // namespace guildhall
