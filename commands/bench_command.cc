// guildhall bench: forward passes of a generated shape, each
// figure beside what the same run measured of the machine.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/status.h"
#include "bench/model_bench.h"
#include "bench/profile_bench.h"
#include "bench/shapes.h"
#include "bench/statistics.h"
#include "commands/bench_flags.h"
#include "commands/commands.h"
#include "commands/progress.h"

namespace guildhall {
namespace {

struct BenchFlags {
  ModelBenchOptions model;
  std::string dtype = "bf16";
  int rounds = 5;
  double seconds = 1.0;
  bool json = false, profile = false;
  std::string trace;

  bool profiled() const { return profile || !trace.empty(); }
};

std::string Text(const ModelBench& bench, int rounds) {
  std::string text = bench.Describe() + "\n" + bench.backend().Describe() + "\n\n";
  text += "                     rows/s   share   GB/s of      GFLOP/s of    (medians of " +
          std::to_string(rounds) + " rounds)\n";
  for (const CaseFigures& f : bench.figures()) {
    char line[256];
    std::snprintf(line, sizeof(line), "%-8s %5lld rows %9.2f   %5.2f  %5.1f %5.1f   %7.1f %7.1f\n",
                  KindName(f.bench_case), static_cast<long long>(f.bench_case.rows),
                  Median(f.rows_per_second), Median(f.share), Median(f.gbps), Median(f.read_gbps),
                  Median(f.gflops), Median(f.peak_gflops));
    text += line;
  }
  return text +
         "\nshare: decode, of the lower of the bandwidth's and the arithmetic's ceiling for that many rows; "
         "prefill, of the\npeak of the instructions used. \"of\": what the machine reached beside the same "
         "runs.\n";
}

std::string JsonText(const ModelBench& bench, int rounds) {
  Json report{{"shape", bench.options().shape}, {"layers", bench.spec().layers.size()},
              {"weights", bench.FormatText()},  {"backend", bench.backend().Describe()},
              {"isa", bench.backend().level()}, {"rounds", rounds}};
  report["results"] = Json::array();
  for (const CaseFigures& f : bench.figures()) report["results"].push_back(CaseJson(f));
  return DumpJson(report, 2) + "\n";
}

ModelBenchOptions OptionsOf(const BenchFlags& flags) {
  ModelBenchOptions options = flags.model;
  options.dtype = flags.dtype == "bf16" ? DType::kBF16 : DType::kF32;
  return options;
}

absl::StatusOr<std::unique_ptr<ModelBench>> Make(const BenchFlags& flags) {
  LoadProgress progress("generating weights");
  return ModelBench::Make(OptionsOf(flags), [&](size_t done, size_t all) { progress.Update(done, all); });
}

absl::StatusOr<std::unique_ptr<ProfileBench>> MakeProfile(const BenchFlags& flags) {
  LoadProgress progress("generating weights");
  return ProfileBench::Make(OptionsOf(flags), !flags.trace.empty(),
                            [&](size_t done, size_t all) { progress.Update(done, all); });
}

// --profile prints where the time of the cases' steps goes, --trace writes a few of them as a timeline.
absl::Status RunProfile(const BenchFlags& flags) {
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<ProfileBench> bench, MakeProfile(flags));
  Json report{{"shape", flags.model.shape}, {"backend", bench->backend().Describe()}};
  std::string text = bench->backend().Describe() + "\n";
  for (const BenchCase& bench_case : CasesOf(OptionsOf(flags))) {
    if (flags.profile) {
      const CaseProfile profile = bench->Measure(bench_case, flags.seconds);
      text += "\n" + profile.Text();
      report["profiles"].push_back(profile.ToJson());
    }
    if (!flags.trace.empty()) bench->Record(bench_case);
  }
  if (flags.profile) std::printf("%s", (flags.json ? DumpJson(report, 2) + "\n" : text).c_str());
  if (flags.trace.empty()) return absl::OkStatus();
  GH_RETURN_IF_ERROR(bench->trace()->Write(flags.trace));
  std::fprintf(stderr, "%s: %zu spans; open it with ui.perfetto.dev or chrome://tracing\n",
               flags.trace.c_str(), bench->trace()->events());
  return absl::OkStatus();
}

int RunBenchProfile(const BenchFlags& flags) {
  const absl::Status status = RunProfile(flags);
  if (!status.ok()) std::fprintf(stderr, "guildhall bench: %s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}

int RunBench(const BenchFlags& flags) {
  const auto bench = Make(flags);
  if (!bench.ok()) {
    std::fprintf(stderr, "guildhall bench: %s\n", std::string(bench.status().message()).c_str());
    return 1;
  }
  for (int round = 0; round < flags.rounds; ++round) (*bench)->Round(flags.seconds);
  std::printf("%s", (flags.json ? JsonText(**bench, flags.rounds) : Text(**bench, flags.rounds)).c_str());
  return 0;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "time forward passes of a generated shape against the machine's limits");
  auto flags = std::make_shared<BenchFlags>();
  AddShapeFlags(*command, flags->model.shape, flags->model.layers);
  command->add_option("--dtype", flags->dtype, "of the generated checkpoint")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
  AddWeightsFlag(*command, flags->model.formats);
  AddBackendFlags(*command, flags->model.backend);
  command->add_option("--decode", flags->model.decode, "decode steps of so many sequences")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--prefill", flags->model.prefill, "prefill steps of so many tokens")
      ->delimiter(',')
      ->capture_default_str();
  AddRoundFlags(*command, flags->rounds, flags->seconds);
  command->add_flag("--json", flags->json, "print JSON");
  command->add_flag("--profile", flags->profile,
                    "instead: where the time of each case's steps goes, op by op");
  command->add_option("--trace", flags->trace,
                      "instead: a timeline of a few steps of each case, for ui.perfetto.dev");
  AddBenchAdaptersCommand(*command, action);
  AddBenchFragmentationCommand(*command, action);
  AddBenchShapesCommand(*command, action);
  AddBenchTableCommand(*command, action);
  command->callback([flags, command, &action] {
    if (command->get_subcommands().empty())
      action = [flags] { return flags->profiled() ? RunBenchProfile(*flags) : RunBench(*flags); };
  });
}

}  // namespace guildhall
