// guildhall bench table: every figure that has a mark, by one command.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/status.h"
#include "bench/shapes.h"
#include "bench/speed_report.h"
#include "bench/speed_table.h"
#include "commands/bench_flags.h"
#include "commands/commands.h"

namespace guildhall {
namespace {

struct TableFlags {
  SpeedTableOptions options;
  std::string json_file, svg_file;
  bool quick = false, no_adapters = false;
};

// What --quick sets where the command line does not.
void Quicken(const CLI::App& command, SpeedTableOptions& options) {
  if (command.count("--layers") == 0) options.layers = 2;
  if (command.count("--adapter-layers") == 0) options.adapter_layers = 2;
  if (command.count("--rounds") == 0) options.rounds = 3;
  if (command.count("--seconds") == 0) options.seconds = 0.2;
}

absl::Status MakeTable(const TableFlags& flags) {
  GH_ASSIGN_OR_RETURN(const SpeedTable table, MeasureSpeedTable(flags.options, [](const std::string& line) {
                        std::fprintf(stderr, "%s\n", line.c_str());
                      }));
  if (flags.json_file != "-") std::printf("%s", SpeedTableText(table).c_str());
  if (!flags.json_file.empty()) {
    GH_RETURN_IF_ERROR(WriteTextFile(flags.json_file, DumpJson(SpeedTableJson(table), 2) + "\n"));
  }
  if (flags.svg_file.empty()) return absl::OkStatus();
  return WriteTextFile(flags.svg_file, SpeedTableSvg(table));
}

int RunTable(const TableFlags& flags) {
  const absl::Status status = MakeTable(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall bench table: %s\n", std::string(status.message()).c_str());
  return 1;
}

void AddWhat(CLI::App& command, SpeedTableOptions& options) {
  command.add_option("--shapes", options.shapes, "the shapes to generate")
      ->delimiter(',')
      ->check(CLI::IsMember(ShapeNames()))
      ->capture_default_str();
  command
      .add_option("--weights,--formats", options.formats,
                  "formats, one after another, each as guildhall bench --weights takes it")
      ->capture_default_str();
  command.add_option("--isa", options.levels, "levels; default: this CPU's best, and avx2 below it")
      ->delimiter(',');
  command.add_option("--decode", options.decode, "decode steps of so many sequences")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--prefill", options.prefill, "prefill steps of so many tokens")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--layers", options.layers, "of each model; 0: the shape's own")
      ->check(CLI::Range(0, 1000));
  command
      .add_option("--adapter-layers", options.adapter_layers,
                  "of the model under the adapters; 0: the shape's own")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--adapter-weights", options.adapter_formats, "formats of the model under the adapters")
      ->capture_default_str();
}

}  // namespace

void AddBenchTableCommand(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand(
      "table", "every figure that has a mark: shapes, levels, formats and what adapters cost");
  auto flags = std::make_shared<TableFlags>();
  AddWhat(*command, flags->options);
  command->add_option("--threads", flags->options.threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--pin", flags->options.pin, "bind the threads to CPUs");
  AddRoundFlags(*command, flags->options.rounds, flags->options.seconds);
  command->add_flag("--quick", flags->quick, "2 layers, 3 rounds of 0.2 s where not said otherwise");
  command->add_flag("--no-adapters", flags->no_adapters, "leave out what adapters cost");
  command->add_option("--json", flags->json_file, "also write JSON; - is standard output, without the text");
  command->add_option("--svg", flags->svg_file, "also draw the figures beside their marks");
  command->footer(
      "  guildhall bench table --quick --svg speed.svg\n"
      "  guildhall bench table --shapes small --weights bf16 int8 experts=int4,attention=int8");
  command->callback([flags, command, &action] {
    if (flags->quick) Quicken(*command, flags->options);
    flags->options.adapters = !flags->no_adapters;
    action = [flags] { return RunTable(*flags); };
  });
}

}  // namespace guildhall
