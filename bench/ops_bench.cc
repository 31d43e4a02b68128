// ops_bench: single ops on the shape of one layer, on the CPU each beside what the same run measured of the
// machine.
//
// With one thread the CPU's clock is that thread's CPU time, which a shared machine disturbs less; with more
// it is the wall's. Another device's is its own.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "base/json.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "bench/op_cases.h"
#include "bench/statistics.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/machine_probe.h"
#include "kernels/make_backend.h"
#include "kernels/op_observer.h"

namespace guildhall {
namespace {

struct Flags {
  BackendOptions backend;
  OpShape shape;
  int rounds = 7;
  std::vector<std::string> formats{"bf16", "int8", "int4"};
  bool json = false;
};

// What single runs took, by the clock of the device, and what the machine could do just before.
class OpTimer {
 public:
  virtual ~OpTimer() = default;
  // Seconds of one run, awaited.
  virtual absl::StatusOr<double> Time(const OpCase& op) = 0;
  // 0: not known of this device.
  virtual MachinePeaks Peaks() { return {}; }
};

class CpuTimer final : public OpTimer {
 public:
  CpuTimer(CpuBackend& backend, MachineProbe probe)
      : context_(backend.context()), probe_(std::move(probe)), all_(context_.pool.threads() > 1) {}

  absl::StatusOr<double> Time(const OpCase& op) override {
    const double begin = Now();
    op.run();
    return Now() - begin;
  }
  MachinePeaks Peaks() override { return probe_.Measure(context_, all_, 0.01); }

 private:
  double Now() const {
    timespec now{};
    clock_gettime(all_ ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  CpuContext& context_;
  MachineProbe probe_;
  const bool all_;
};

class DeviceTimer final : public OpTimer, private OpObserver {
 public:
  explicit DeviceTimer(Backend& backend) : backend_(backend) { backend_.Observe(this); }
  ~DeviceTimer() override { backend_.Observe(nullptr); }

  absl::StatusOr<double> Time(const OpCase& op) override {
    seconds_ = 0;
    op.run();
    GH_RETURN_IF_ERROR(backend_.Finish());
    return seconds_;
  }

 private:
  void ItemDone(int, int64_t, int64_t) override {}
  void LoopDone(int64_t, int64_t) override {}
  void OpBegins(OpKind, const std::byte*) override {}
  void OpEnds(const OpCost&, int64_t begin_ns, int64_t end_ns) override {
    seconds_ = 1e-9 * static_cast<double>(end_ns - begin_ns);
  }

  Backend& backend_;
  double seconds_ = 0;
};

absl::StatusOr<std::unique_ptr<OpTimer>> MakeTimer(Backend& backend) {
  auto* const cpu = dynamic_cast<CpuBackend*>(&backend);
  if (cpu == nullptr) return std::make_unique<DeviceTimer>(backend);
  GH_ASSIGN_OR_RETURN(MachineProbe probe, MachineProbe::Make());
  return std::make_unique<CpuTimer>(*cpu, std::move(probe));
}

// One op's medians over all rounds.
struct OpResult {
  std::string name;
  double seconds = 0;
  double gbps = 0, gops = 0;            // of the op
  double read_gbps = 0, peak_gops = 0;  // of the machine; 0: not known

  // The share of the lower ceiling that the op reaches; 0: not known.
  double share() const { return read_gbps > 0 ? std::max(gbps / read_gbps, gops / peak_gops) : 0.0; }
};

// Of the instruction that products of the format use at this level.
double PeakOf(const MachinePeaks& peaks, WeightFormat format) {
  if (IsQuantized(format) && peaks.int8_gops > 0) return peaks.int8_gops;
  return format == WeightFormat::kBF16 && peaks.bf16_gflops > 0 ? peaks.bf16_gflops : peaks.fp32_gflops;
}

absl::StatusOr<OpResult> Measure(const OpCase& op, OpTimer& timer, WeightFormat format, int rounds) {
  std::vector<double> seconds, read, peak;
  GH_RETURN_IF_ERROR(op.prepare());
  GH_RETURN_IF_ERROR(timer.Time(op).status());  // once unmeasured: first touches, sleeping threads
  for (int round = 0; round < rounds; ++round) {
    const MachinePeaks peaks = timer.Peaks();
    read.push_back(peaks.read_gbps);
    peak.push_back(PeakOf(peaks, format));
    GH_RETURN_IF_ERROR(op.prepare());
    GH_ASSIGN_OR_RETURN(const double time, timer.Time(op));
    seconds.push_back(time);
  }
  const double median = Median(seconds);
  return OpResult{.name = op.name,
                  .seconds = median,
                  .gbps = op.bytes / median * 1e-9,
                  .gops = op.operations / median * 1e-9,
                  .read_gbps = Median(read),
                  .peak_gops = Median(peak)};
}

std::string Text(const std::vector<OpResult>& results) {
  std::string text =
      "op                         ms    GB/s of       Gop/s of       share of the lower ceiling\n";
  char line[160];
  for (const OpResult& op : results) {
    std::snprintf(line, sizeof(line), "%-20s %8.3f   %5.1f %5.1f   %7.1f %7.1f   %5.2f\n", op.name.c_str(),
                  op.seconds * 1e3, op.gbps, op.read_gbps, op.gops, op.peak_gops, op.share());
    text += line;
  }
  return text;
}

Json Report(const std::vector<OpResult>& results, std::string_view format) {
  Json list = Json::array();
  for (const OpResult& op : results) {
    list.push_back({{"format", format},
                    {"op", op.name},
                    {"ms", op.seconds * 1e3},
                    {"gb_per_second", op.gbps},
                    {"machine_gb_per_second", op.read_gbps},
                    {"gop_per_second", op.gops},
                    {"machine_gop_per_second", op.peak_gops},
                    {"share", op.share()}});
  }
  return list;
}

absl::Status Run(const Flags& flags) {
  Json report{{"rounds", flags.rounds}, {"results", Json::array()}};
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeBackend(flags.backend));
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<OpTimer> timer, MakeTimer(*backend));
  report["backend"] = backend->Describe();
  report["isa"] = backend->level();
  for (const std::string& name : flags.formats) {
    const auto format = ParseWeightFormat(name);
    if (!format) {
      return absl::InvalidArgumentError(StrCat("--formats: there is no format \"", name, "\""));
    }
    GH_ASSIGN_OR_RETURN(const auto cases, OpCases::Make(*backend, flags.shape, *format));
    std::vector<OpResult> results;
    for (const OpCase& op : cases->cases()) {
      GH_ASSIGN_OR_RETURN(results.emplace_back(), Measure(op, *timer, *format, flags.rounds));
    }
    for (Json& result : Report(results, name)) report["results"].push_back(std::move(result));
    if (flags.json) continue;
    std::printf("%s, %s weights, medians of %d\n%s\n", backend->Describe().c_str(), name.c_str(),
                flags.rounds, Text(results).c_str());
  }
  if (flags.json) std::puts(DumpJson(report, 2).c_str());
  return absl::OkStatus();
}

void AddFlags(CLI::App& app, Flags& flags) {
  OpShape& shape = flags.shape;
  app.add_option("--device", flags.backend.device, "auto, cpu, cuda or cuda:1")->capture_default_str();
  app.add_option_function<std::string>(
         "--products",
         [&flags](const std::string& text) {
           const auto products = ParseDeviceProducts(text);
           if (!products)
             throw CLI::ValidationError("--products", "expected exact or library, found " + text);
           flags.backend.products = *products;
         },
         "of many rows on a CUDA device: exact, or library (cuBLAS), to compare with")
      ->default_str("exact");
  app.add_option("--isa", flags.backend.cpu.isa,
                 "portable, avx2 or avx512; default: GUILDHALL_ISA or the best");
  app.add_option("--threads", flags.backend.cpu.threads, "0: the allowed CPUs")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--hidden", shape.hidden)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--width", shape.width, "of an expert")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--experts", shape.experts)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--top-k", shape.k, "experts of a row")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--out", shape.out, "columns of the plain product")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--copies-bytes", shape.copies_bytes, "of the plain product: more than a cache keeps")
      ->capture_default_str();
  app.add_option("--rows", shape.rows)->delimiter(',')->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--formats", flags.formats, "of weights: f32, bf16, f16, int8, int4, int4_offset")
      ->delimiter(',')
      ->capture_default_str();
  app.add_flag("--json", flags.json);
}

int RunOpsBench(int argc, char** argv) {
  Flags flags;
  CLI::App app("Times single ops on random weights beside the machine's own limits", "ops_bench");
  AddFlags(app, flags);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "ops_bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace guildhall

int main(int argc, char** argv) {
  return guildhall::RunOpsBench(argc, argv);
}
