// guildhall bench: forward passes of a generated shape, each figure beside what the same run measured of the
// machine.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/status.h"
#include "bench/forward_bench.h"
#include "bench/generated_weights.h"
#include "bench/roofline.h"
#include "bench/shapes.h"
#include "commands/commands.h"
#include "commands/progress.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/machine_probe.h"
#include "model/decoder.h"

namespace guildhall {
namespace {

struct BenchFlags {
  std::string shape = "olmoe", dtype = "bf16", isa;
  int layers = 0, threads = 0, rounds = 5;
  double seconds = 1.0;
  bool pin = false, json = false;
  std::vector<int64_t> decode{1, 4, 16, 32}, prefill{512};
};

// One line of the report: medians over the rounds.
struct BenchResult {
  BenchCase bench_case;
  double step_bytes = 0.0;  // with the experts that random tokens chose
  std::vector<double> rows_per_second, share, gbps, gflops, read_gbps, peak_gflops;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0.0 : values[values.size() / 2];
}

double Peak(const MachinePeaks& peaks, DType dtype) {
  return (dtype == DType::kBF16 && peaks.bf16_gflops > 0.0 ? peaks.bf16_gflops : peaks.fp32_gflops) * 1e9;
}

const char* KindName(const BenchCase& c) {
  return c.kind == BenchCase::Kind::kDecode ? "decode" : "prefill";
}

class Bench {
 public:
  static absl::StatusOr<std::unique_ptr<Bench>> Make(const BenchFlags& flags) {
    const DType dtype = flags.dtype == "bf16" ? DType::kBF16 : DType::kF32;
    auto bench = std::unique_ptr<Bench>(new Bench(flags));
    GH_ASSIGN_OR_RETURN(bench->spec_, ShapeSpec(flags.shape, dtype, flags.layers));
    for (int64_t rows : flags.decode)
      bench->results_.emplace_back().bench_case = {BenchCase::Kind::kDecode, rows, 64};
    for (int64_t rows : flags.prefill)
      bench->results_.emplace_back().bench_case = {BenchCase::Kind::kPrefill, rows, 0};
    CpuOptions cpu;
    cpu.threads = flags.threads;
    cpu.pin = flags.pin;
    cpu.isa = flags.isa;
    GH_ASSIGN_OR_RETURN(bench->backend_, MakeCpuBackend(cpu));
    GH_ASSIGN_OR_RETURN(MachineProbe probe, MachineProbe::Make());
    bench->probe_ = std::make_unique<MachineProbe>(std::move(probe));
    DecoderOptions options;
    options.max_rows = options.max_outputs = 1;
    for (const BenchResult& result : bench->results_) {
      options.max_rows = std::max(options.max_rows, result.bench_case.rows);
      if (result.bench_case.kind == BenchCase::Kind::kDecode) {
        options.max_outputs = std::max(options.max_outputs, result.bench_case.rows);
      }
      options.kv_blocks = std::max(options.kv_blocks, ForwardBench::BlocksFor(result.bench_case));
    }
    LoadProgress progress("generating weights");
    GH_ASSIGN_OR_RETURN(bench->decoder_,
                        Decoder::Load(GeneratedWeights(bench->spec_), *bench->backend_, options,
                                      [&](size_t done, size_t all) { progress.Update(done, all); }));
    return bench;
  }

  void Run() {
    CpuContext& context = static_cast<CpuBackend&>(*backend_).context();
    ForwardBench forward(*decoder_);
    const ModelCost cost = CostOf(spec_);
    for (BenchResult& r : results_) {
      r.step_bytes = StepBytes(spec_, cost, spec_.moe() ? forward.SlotsRead(r.bench_case) : 0.0);
    }
    for (int round = 0; round < flags_.rounds; ++round) {
      for (BenchResult& r : results_) {
        // The machine is measured on both sides of each figure: it is shared, and its limits move.
        const double before = probe_->ReadGbps(context, true, 0.1);
        const MachinePeaks peaks = probe_->Measure(context, true, 0.02);
        const double rate = forward.RowsPerSecond(r.bench_case, flags_.seconds);
        const double read = (before + probe_->ReadGbps(context, true, 0.1)) / 2.0;
        const double peak = Peak(peaks, spec_.dtype);
        const Ceiling ceiling = CeilingOf(cost, r.bench_case.rows, r.step_bytes, read * 1e9, peak);
        r.rows_per_second.push_back(rate);
        const bool decode = r.bench_case.kind == BenchCase::Kind::kDecode;
        r.share.push_back(rate / (decode ? ceiling.rows() : ceiling.arithmetic_rows));
        r.gbps.push_back(rate / static_cast<double>(r.bench_case.rows) * r.step_bytes * 1e-9);
        r.gflops.push_back(rate * 2.0 * cost.active_parameters * 1e-9);
        r.read_gbps.push_back(read);
        r.peak_gflops.push_back(peak * 1e-9);
      }
    }
  }

  std::string Text() const {
    const ModelCost cost = CostOf(spec_);
    char line[256];
    std::snprintf(line, sizeof(line),
                  "%s, %zu layers, %s weights: %.2f GB resident, %.2f G parameters active\n%s\n\n",
                  spec_.architecture.c_str(), spec_.layers.size(), flags_.dtype.c_str(),
                  (cost.dense_bytes + cost.expert_bytes) * 1e-9, cost.active_parameters * 1e-9,
                  backend_->Describe().c_str());
    std::string text = line;
    text += "                     rows/s   share   GB/s of      GFLOP/s of    (medians of " +
            std::to_string(flags_.rounds) + " rounds)\n";
    for (const BenchResult& r : results_) {
      std::snprintf(line, sizeof(line), "%-8s %5lld rows %9.2f   %5.2f  %5.1f %5.1f   %7.1f %7.1f\n",
                    KindName(r.bench_case), static_cast<long long>(r.bench_case.rows),
                    Median(r.rows_per_second), Median(r.share), Median(r.gbps), Median(r.read_gbps),
                    Median(r.gflops), Median(r.peak_gflops));
      text += line;
    }
    return text +
           "\nshare: decode, of the lower of the bandwidth's and the arithmetic's ceiling for that many "
           "rows; "
           "prefill, of the\npeak of the instruction used. \"of\": what the machine reached beside the same "
           "runs.\n";
  }

  std::string JsonText() const {
    Json report{{"shape", flags_.shape},  {"layers", spec_.layers.size()},
                {"dtype", flags_.dtype},  {"backend", backend_->Describe()},
                {"isa", backend_->Isa()}, {"rounds", flags_.rounds}};
    report["results"] = Json::array();
    for (const BenchResult& r : results_) {
      report["results"].push_back({{"kind", KindName(r.bench_case)},
                                   {"rows", r.bench_case.rows},
                                   {"rows_per_second", Median(r.rows_per_second)},
                                   {"share", Median(r.share)},
                                   {"gb_per_second", Median(r.gbps)},
                                   {"machine_gb_per_second", Median(r.read_gbps)},
                                   {"gflop_per_second", Median(r.gflops)},
                                   {"machine_gflop_per_second", Median(r.peak_gflops)},
                                   {"all_rows_per_second", r.rows_per_second}});
    }
    return DumpJson(report, 2) + "\n";
  }

 private:
  explicit Bench(const BenchFlags& flags) : flags_(flags) {}

  BenchFlags flags_;
  ModelSpec spec_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<MachineProbe> probe_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<BenchResult> results_;
};

int RunBench(const BenchFlags& flags) {
  const auto bench = Bench::Make(flags);
  if (!bench.ok()) {
    std::fprintf(stderr, "guildhall bench: %s\n", std::string(bench.status().message()).c_str());
    return 1;
  }
  (*bench)->Run();
  std::printf("%s", (flags.json ? (*bench)->JsonText() : (*bench)->Text()).c_str());
  return 0;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("bench", "time forward passes of a generated shape against the machine's limits");
  auto flags = std::make_shared<BenchFlags>();
  command->add_option("--shape", flags->shape, "the shape to generate")
      ->check(CLI::IsMember(ShapeNames()))
      ->capture_default_str();
  command->add_option("--dtype", flags->dtype, "of the weights")
      ->check(CLI::IsMember({"bf16", "f32"}))
      ->capture_default_str();
  command->add_option("--layers", flags->layers, "fewer layers than the shape has; 0: all")
      ->check(CLI::Range(0, 1000));
  command->add_option("--threads", flags->threads, "0: the CPUs that the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--pin", flags->pin, "bind the threads to CPUs");
  command->add_option("--isa", flags->isa, "portable, avx2 or avx512; default: GUILDHALL_ISA, else the best");
  command->add_option("--decode", flags->decode, "decode steps of so many sequences")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--prefill", flags->prefill, "prefill steps of so many tokens")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--rounds", flags->rounds, "rounds over all cases; medians are reported")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--seconds", flags->seconds, "of each measurement")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", flags->json, "print JSON");
  AddBenchAdaptersCommand(*command, action);
  AddBenchFragmentationCommand(*command, action);
  command->callback([flags, command, &action] {
    if (command->get_subcommands().empty()) action = [flags] { return RunBench(*flags); };
  });
}

}  // namespace guildhall
