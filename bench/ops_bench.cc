// ops_bench: single ops on the shape of one layer, each beside what the same run measured of the machine.
//
// With one thread the clock is that thread's CPU time, which a shared machine disturbs less; with more it is
// the wall's.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>

#include "base/json.h"
#include "base/status.h"
#include "bench/statistics.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/machine_probe.h"
#include "kernels/make_backend.h"

namespace guildhall {
namespace {

struct Flags {
  std::string isa;
  int threads = 0, rounds = 7;
  int64_t hidden = 2048, width = 1024, experts = 64, k = 8, out = 6144;
  std::vector<int64_t> rows{1, 4, 8, 16, 32, 64, 256, 512};
  std::vector<std::string> formats{"bf16", "int8", "int4"};
  bool json = false;
};

// One op with what a call must read and compute at least.
struct OpCase {
  std::string name;
  double bytes = 0, operations = 0;
  std::function<void()> prepare, run;  // only `run` is timed
  std::vector<double> seconds, read_gbps, peak_gops;
};

class OpsBench {
 public:
  static absl::StatusOr<std::unique_ptr<OpsBench>> Make(const Flags& flags, WeightFormat format) {
    auto bench = std::unique_ptr<OpsBench>(new OpsBench(flags, format));
    BackendOptions options;
    options.cpu.isa = flags.isa;
    options.cpu.threads = flags.threads;
    GH_ASSIGN_OR_RETURN(bench->backend_, MakeBackend(options));
    GH_ASSIGN_OR_RETURN(MachineProbe probe, MachineProbe::Make());
    bench->probe_ = std::make_unique<MachineProbe>(std::move(probe));
    GH_RETURN_IF_ERROR(bench->AllocateAll());
    for (const int64_t rows : flags.rows) bench->AddExperts(rows);
    for (const int64_t rows : flags.rows) bench->AddMatMul(rows);
    return bench;
  }

  void Run() {
    CpuContext& cpu = context();
    const bool all = cpu.pool.threads() > 1;
    for (OpCase& op : cases_) {
      op.prepare();
      op.run();  // once unmeasured: first touches, sleeping threads
      for (int round = 0; round < flags_.rounds; ++round) {
        const MachinePeaks peaks = probe_->Measure(cpu, all, 0.01);
        op.read_gbps.push_back(peaks.read_gbps);
        op.peak_gops.push_back(PeakOf(peaks));
        op.prepare();
        const double begin = Now();
        op.run();
        op.seconds.push_back(Now() - begin);
      }
    }
  }

  std::string Text() const {
    std::string text =
        backend_->Describe() + ", " + std::string(WeightFormatName(format_)) + " weights, medians of " +
        std::to_string(flags_.rounds) +
        "\nop                         ms    GB/s of       Gop/s of       share of the lower ceiling\n";
    char line[160];
    for (const OpCase& op : cases_) {
      const double seconds = Median(op.seconds);
      std::snprintf(line, sizeof(line), "%-20s %8.3f   %5.1f %5.1f   %7.1f %7.1f   %5.2f\n", op.name.c_str(),
                    seconds * 1e3, op.bytes / seconds * 1e-9, Median(op.read_gbps),
                    op.operations / seconds * 1e-9, Median(op.peak_gops), Share(op));
      text += line;
    }
    return text;
  }

  void Report(Json& report) const {
    report["backend"] = backend_->Describe();
    report["isa"] = backend_->level();
    for (const OpCase& op : cases_) {
      const double seconds = Median(op.seconds);
      report["results"].push_back({{"format", WeightFormatName(format_)},
                                   {"op", op.name},
                                   {"ms", seconds * 1e3},
                                   {"gb_per_second", op.bytes / seconds * 1e-9},
                                   {"machine_gb_per_second", Median(op.read_gbps)},
                                   {"gop_per_second", op.operations / seconds * 1e-9},
                                   {"machine_gop_per_second", Median(op.peak_gops)},
                                   {"share", Share(op)}});
    }
  }

 private:
  OpsBench(const Flags& flags, WeightFormat format) : flags_(flags), format_(format) {}

  CpuContext& context() { return static_cast<CpuBackend&>(*backend_).context(); }

  double Now() {
    timespec now{};
    clock_gettime(context().pool.threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  // Of the instruction that products of the format use at this level.
  double PeakOf(const MachinePeaks& peaks) const {
    if (IsQuantized(format_) && peaks.int8_gops > 0) return peaks.int8_gops;
    return format_ == WeightFormat::kBF16 && peaks.bf16_gflops > 0 ? peaks.bf16_gflops : peaks.fp32_gflops;
  }

  static double Share(const OpCase& op) {
    const double least =
        std::max(op.bytes / Median(op.read_gbps), op.operations / Median(op.peak_gops)) * 1e-9;
    return least / Median(op.seconds);
  }

  // A tensor of small numbers of both signs.
  TensorView RandomTensor(int64_t out, int64_t in) {
    source_.resize(static_cast<size_t>(out * in));
    for (uint16_t& bits : source_) bits = static_cast<uint16_t>(0x3c00u | (random_() & 0x83ffu));
    return {DType::kBF16, {out, in}, reinterpret_cast<const std::byte*>(source_.data())};
  }

  PackShape GateUpShape() const { return PackShape::GateUp(format_, flags_.width, flags_.hidden); }
  PackShape DownShape() const { return PackShape::Stack(format_, flags_.hidden, flags_.width); }
  PackShape MatrixShape() const { return PackShape::Stack(format_, flags_.out, flags_.hidden); }

  // Only the first expert is packed; the others are copies in other places.
  absl::Status FillExperts() {
    const size_t expert_bytes = gate_up_bytes_ + down_bytes_;
    GH_ASSIGN_OR_RETURN(experts_,
                        Buffer::Allocate(expert_bytes * static_cast<size_t>(flags_.experts), "experts"));
    const TensorView gate = RandomTensor(flags_.width, flags_.hidden);
    const TensorView parts[] = {gate, gate};
    backend_->Pack(GateUpShape(), parts, experts_.data());
    const TensorView down = RandomTensor(flags_.hidden, flags_.width);
    backend_->Pack(DownShape(), {&down, 1}, experts_.data() + gate_up_bytes_);
    for (int64_t e = 0; e < flags_.experts; ++e) {
      std::byte* at = experts_.data() + static_cast<size_t>(e) * expert_bytes;
      if (e > 0) std::memcpy(at, experts_.data(), expert_bytes);
      FfnWeights expert;
      expert.gate_up = GateUpShape().At(at);
      expert.down = DownShape().At(at + gate_up_bytes_);
      table_.push_back(expert);
    }
    return absl::OkStatus();
  }

  // As many copies of the plain product's as the last cache cannot keep.
  absl::Status FillMatrices() {
    const size_t copies = (size_t{256} << 20) / matrix_bytes_ + 2;
    GH_ASSIGN_OR_RETURN(matrices_, Buffer::Allocate(copies * matrix_bytes_, "matrices"));
    const TensorView w = RandomTensor(flags_.out, flags_.hidden);
    backend_->Pack(MatrixShape(), {&w, 1}, matrices_.data());
    for (size_t i = 1; i < copies; ++i) {
      std::memcpy(matrices_.data() + i * matrix_bytes_, matrices_.data(), matrix_bytes_);
    }
    return absl::OkStatus();
  }

  // Weights, activations and scratch memory.
  absl::Status AllocateAll() {
    const int64_t rows = *std::max_element(flags_.rows.begin(), flags_.rows.end());
    StepLimits limits;
    limits.max_rows = rows;
    limits.max_width = std::max(flags_.hidden, flags_.out);
    limits.max_entries = rows * flags_.k;
    limits.max_ffn_width = flags_.width;
    limits.hidden = flags_.hidden;
    limits.max_heads = 1;
    limits.max_experts = flags_.experts;
    GH_RETURN_IF_ERROR(backend_->Prepare(limits));
    const auto aligned = [](size_t bytes) { return (bytes + 63) / 64 * 64; };
    gate_up_bytes_ = aligned(backend_->PackedBytes(GateUpShape()));
    down_bytes_ = aligned(backend_->PackedBytes(DownShape()));
    matrix_bytes_ = aligned(backend_->PackedBytes(MatrixShape()));
    GH_RETURN_IF_ERROR(FillExperts());
    GH_RETURN_IF_ERROR(FillMatrices());
    x_.resize(static_cast<size_t>(rows * flags_.hidden));
    for (float& value : x_) value = static_cast<float>(random_() % 2001) * 1e-3f - 1.0f;
    y_.resize(static_cast<size_t>(rows * limits.max_width));
    weight_.assign(static_cast<size_t>(limits.max_entries), 0.125f);
    return absl::OkStatus();
  }

  // Routes the rows evenly at random and groups their entries by expert; returns the experts that have some.
  int64_t Route(int64_t rows) {
    std::vector<std::vector<int32_t>> groups(static_cast<size_t>(flags_.experts));
    std::vector<int32_t> order(groups.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    for (int64_t row = 0; row < rows; ++row) {
      std::shuffle(order.begin(), order.end(), random_);
      for (int64_t j = 0; j < flags_.k; ++j) {
        groups[static_cast<size_t>(order[static_cast<size_t>(j)])].push_back(
            static_cast<int32_t>(row * flags_.k + j));
      }
    }
    begin_ = {0};
    entry_.clear();
    for (const auto& group : groups) {
      entry_.insert(entry_.end(), group.begin(), group.end());
      begin_.push_back(static_cast<int32_t>(entry_.size()));
    }
    return std::count_if(groups.begin(), groups.end(), [](const auto& group) { return !group.empty(); });
  }

  void AddExperts(int64_t rows) {
    const int64_t touched = Route(rows);
    OpCase op;
    op.name = "expert_ffn " + std::to_string(rows) + " rows";
    op.bytes = static_cast<double>(touched) * static_cast<double>(gate_up_bytes_ + down_bytes_);
    op.operations = 6.0 * static_cast<double>(rows * flags_.k * flags_.hidden * flags_.width);
    // Other experts with every call, or a cache would keep those of few rows; but as many.
    op.prepare = [this, rows, touched] {
      while (Route(rows) != touched) {
      }
    };
    op.run = [this, rows] {
      backend_->ExpertFfn({.x = x_.data(),
                           .table = table_.data(),
                           .group_begin = begin_.data(),
                           .group_entry = entry_.data(),
                           .weight = weight_.data(),
                           .y = y_.data(),
                           .rows = rows,
                           .k = flags_.k,
                           .slots = static_cast<int64_t>(table_.size()),
                           .hidden = flags_.hidden,
                           .width = flags_.width,
                           .x_stride = flags_.hidden,
                           .y_stride = flags_.hidden});
    };
    cases_.push_back(std::move(op));
  }

  void AddMatMul(int64_t rows) {
    OpCase op;
    op.name = "matmul " + std::to_string(rows) + " rows";
    op.bytes = static_cast<double>(matrix_bytes_);
    op.operations = 2.0 * static_cast<double>(rows * flags_.out * flags_.hidden);
    op.prepare = [this] {
      offset_ = (offset_ + matrix_bytes_) % (matrices_.size() / matrix_bytes_ * matrix_bytes_);
    };
    op.run = [this, rows] {
      backend_->MatMul({.x = x_.data(),
                        .w = {flags_.out, flags_.hidden, format_, matrices_.data() + offset_},
                        .y = y_.data(),
                        .rows = rows,
                        .x_stride = flags_.hidden,
                        .y_stride = flags_.out});
    };
    cases_.push_back(std::move(op));
  }

  Flags flags_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<MachineProbe> probe_;
  std::vector<OpCase> cases_;
  std::mt19937 random_{1};
  const WeightFormat format_;
  std::vector<uint16_t> source_;
  Buffer experts_, matrices_;
  size_t gate_up_bytes_ = 0, down_bytes_ = 0, matrix_bytes_ = 0, offset_ = 0;
  std::vector<FfnWeights> table_;
  std::vector<float> x_, y_, weight_;
  std::vector<int32_t> begin_, entry_;
};

int RunOpsBench(int argc, char** argv) {
  Flags flags;
  CLI::App app("Times single ops on random weights beside the machine's own limits", "ops_bench");
  app.add_option("--isa", flags.isa, "portable, avx2 or avx512; default: GUILDHALL_ISA or the best");
  app.add_option("--threads", flags.threads, "0: the allowed CPUs")->check(CLI::NonNegativeNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  app.add_option("--hidden", flags.hidden)->check(CLI::PositiveNumber);
  app.add_option("--width", flags.width, "of an expert")->check(CLI::PositiveNumber);
  app.add_option("--experts", flags.experts)->check(CLI::PositiveNumber);
  app.add_option("--top-k", flags.k, "experts of a row")->check(CLI::PositiveNumber);
  app.add_option("--out", flags.out, "columns of the plain product")->check(CLI::PositiveNumber);
  app.add_option("--rows", flags.rows)->delimiter(',')->check(CLI::PositiveNumber);
  app.add_option("--formats", flags.formats, "of weights: f32, bf16, f16, int8, int4, int4_offset")
      ->delimiter(',');
  app.add_flag("--json", flags.json);
  CLI11_PARSE(app, argc, argv);
  if (flags.k > flags.experts) {
    std::fprintf(stderr, "ops_bench: --top-k: at most --experts (%lld)\n",
                 static_cast<long long>(flags.experts));
    return 1;
  }
  Json report{{"rounds", flags.rounds}, {"results", Json::array()}};
  for (const std::string& name : flags.formats) {
    const auto format = ParseWeightFormat(name);
    if (!format.has_value()) {
      std::fprintf(stderr, "ops_bench: --formats: there is no format \"%s\"\n", name.c_str());
      return 1;
    }
    const auto bench = OpsBench::Make(flags, *format);
    if (!bench.ok()) {
      std::fprintf(stderr, "ops_bench: %s\n", std::string(bench.status().message()).c_str());
      return 1;
    }
    (*bench)->Run();
    (*bench)->Report(report);
    if (!flags.json) std::puts((*bench)->Text().c_str());
  }
  if (flags.json) std::puts(DumpJson(report, 2).c_str());
  return 0;
}

}  // namespace
}  // namespace guildhall

int main(int argc, char** argv) {
  return guildhall::RunOpsBench(argc, argv);
}
