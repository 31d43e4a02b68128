// attention_bench: paged attention alone, decode and prefill, beside what the same run measured of the
// machine.
//
// Decode is bound by reading the cache (GB/s), prefill by arithmetic (GFLOP/s, a multiply and an add count
// two). Bytes and operations are what any implementation needs: each visible key and value once.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/statistics.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/machine_probe.h"
#include "kernels/make_backend.h"

namespace guildhall {
namespace {

struct Flags {
  std::string isa;
  int threads = 0, rounds = 5;
  std::vector<int64_t> contexts{64, 1024, 8192};
  std::vector<std::string> formats{"bf16", "int8"};
  std::vector<std::string> shapes{"mha", "gqa", "latent"};
  bool prefill = true, decode = true;
};

// Published shapes: OLMoE, Qwen3-MoE and DeepSeek-V2-Lite.
struct NamedShape {
  std::string name;
  KvShape kv;
  int64_t heads;
};

std::vector<NamedShape> Shapes(KvFormat format) {
  return {{"mha", {16, 128, 128, false, format}, 16},
          {"gqa", {4, 128, 128, false, format}, 32},
          {"latent", {1, 576, 512, true, format}, 16}};
}

double Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class AttentionBench {
 public:
  AttentionBench(const Flags& flags, std::unique_ptr<Backend> backend, MachineProbe probe)
      : flags_(flags), backend_(std::move(backend)), probe_(std::move(probe)) {}

  absl::Status Run() {
    StepLimits limits;
    limits.max_rows = kRows;
    limits.max_width = 32 * 576;
    limits.max_entries = kRows * 8;
    limits.max_ffn_width = 1024;
    limits.hidden = 2048;
    limits.max_heads = 32;
    limits.max_experts = 64;
    GH_RETURN_IF_ERROR(backend_->Prepare(limits));
    std::printf("%s, medians of %d rounds\n%-34s %9s  %6s of %6s  %7s of %7s\n", backend_->Describe().c_str(),
                flags_.rounds, "case", "ms", "GB/s", "read", "GFLOP/s", "peak");
    for (const std::string& format : flags_.formats) {
      for (const NamedShape& shape : Shapes(*ParseKvFormat(format))) {
        if (std::find(flags_.shapes.begin(), flags_.shapes.end(), shape.name) == flags_.shapes.end())
          continue;
        for (const int64_t context : flags_.contexts) {
          const std::string name = shape.name + " " + format + " ";
          if (flags_.decode) {
            GH_RETURN_IF_ERROR(Case(name + "decode 1", shape, 1, 1, context));
            GH_RETURN_IF_ERROR(Case(name + "decode 32", shape, 32, 1, context));
          }
          if (flags_.prefill) GH_RETURN_IF_ERROR(Case(name + "prefill 512", shape, 1, kRows, context));
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  static constexpr int64_t kRows = 512;
  static constexpr size_t kMostBytes = size_t{1} << 30;

  absl::Status Case(const std::string& name, const NamedShape& shape, int64_t sequences, int64_t rows_each,
                    int64_t context) {
    context = std::max(context, rows_each);
    const KvShape& kv = shape.kv;
    const int64_t blocks = (context + kKvBlockTokens - 1) / kKvBlockTokens;
    const size_t block_bytes = backend_->KvBlockBytes(kv);
    // Copies in turn, so that a short cache is not found in the processor's; at most what memory allows.
    const size_t one = block_bytes * static_cast<size_t>(blocks * sequences);
    if (one > kMostBytes) return absl::OkStatus();
    const int64_t copies =
        rows_each > 1 ? 1 : static_cast<int64_t>(std::clamp(kMostBytes / 4 / one, size_t{1}, size_t{64}));
    GH_ASSIGN_OR_RETURN(const Buffer cache, Buffer::Allocate(one * static_cast<size_t>(copies), "KV cache"));
    Fill(kv, cache, blocks * sequences * copies);

    const int64_t rows = sequences * rows_each;
    std::vector<float> q(static_cast<size_t>(rows * shape.heads * kv.key_dim));
    for (float& value : q) value = static_cast<float>(random_() % 2001) * 1e-3f - 1.0f;
    std::vector<float> y(static_cast<size_t>(rows * shape.heads * kv.value_dim));
    std::vector<int32_t> position, sequence, table;
    double visible = 0;
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t r = 0; r < rows_each; ++r) {
        sequence.push_back(static_cast<int32_t>(s));
        position.push_back(static_cast<int32_t>(context - rows_each + r));
        visible += position.back() + 1;
      }
    }
    for (int64_t b = 0; b < blocks * sequences; ++b) table.push_back(static_cast<int32_t>(b));
    std::shuffle(table.begin(), table.end(), random_);

    const std::vector<int64_t> places(static_cast<size_t>(rows), 0);
    const StepInputs inputs{.tokens = {},
                            .positions = position,
                            .sequence = sequence,
                            .kv_place = places,
                            .set = {},
                            .block_table = table,
                            .max_blocks = blocks,
                            .logit_rows = {}};
    AttentionArgs args{};
    args.shape = kv;
    args.block_stride = static_cast<int64_t>(block_bytes);
    args.q = q.data();
    args.y = y.data();
    args.heads = shape.heads;
    args.q_stride = shape.heads * kv.key_dim;
    args.y_stride = shape.heads * kv.value_dim;
    args.scale = 0.05f;
    CpuContext& cpu = static_cast<CpuBackend&>(*backend_).context();
    const bool all = cpu.pool.threads() > 1;
    std::vector<double> seconds, read, peak;
    for (int round = 0; round < flags_.rounds; ++round) {
      const MachinePeaks peaks = probe_.Measure(cpu, all, 0.01);
      read.push_back(peaks.read_gbps);
      peak.push_back(std::max(peaks.fp32_gflops, peaks.bf16_gflops));
      int64_t calls = 0;
      const double begin = Now();
      do {
        args.step = &backend_->BeginStep(inputs);  // planned anew, as by the first layer of a step
        args.cache = cache.data() + one * static_cast<size_t>(calls % copies);
        backend_->Attention(args);
        ++calls;
      } while (Now() - begin < 0.02 || calls < copies);
      seconds.push_back((Now() - begin) / static_cast<double>(calls));
    }
    const double time = Median(seconds);
    const double operations = 2.0 * visible * static_cast<double>(shape.heads * (kv.key_dim + kv.value_dim));
    std::printf("%-34s %9.3f  %6.1f of %6.1f  %7.1f of %7.1f\n",
                (name + " at " + std::to_string(context)).c_str(), time * 1e3,
                static_cast<double>(one) / time * 1e-9, Median(read), operations / time * 1e-9, Median(peak));
    std::fflush(stdout);
    return absl::OkStatus();
  }

  // Random keys and values for `blocks` blocks, written by the op itself.
  void Fill(const KvShape& kv, const Buffer& cache, int64_t blocks) {
    constexpr int64_t kTokens = 64;
    std::vector<float> k(static_cast<size_t>(kTokens * kv.kv_heads * kv.key_dim));
    std::vector<float> v(static_cast<size_t>(kTokens * kv.kv_heads * kv.value_dim));
    for (float& value : k) value = static_cast<float>(random_() % 2001) * 1e-3f - 1.0f;
    for (float& value : v) value = static_cast<float>(random_() % 2001) * 1e-3f - 1.0f;
    std::vector<int64_t> place(kTokens);
    for (int64_t first = 0; first < blocks * kKvBlockTokens; first += kTokens) {
      const int64_t count = std::min(kTokens, blocks * kKvBlockTokens - first);
      for (int64_t i = 0; i < count; ++i) place[static_cast<size_t>(i)] = first + i;
      backend_->AppendKv({.shape = kv,
                          .cache = const_cast<std::byte*>(cache.data()),
                          .block_stride = static_cast<int64_t>(backend_->KvBlockBytes(kv)),
                          .k = k.data(),
                          .v = kv.value_in_key ? nullptr : v.data(),
                          .rows = count,
                          .k_stride = int64_t{kv.kv_heads} * kv.key_dim,
                          .v_stride = int64_t{kv.kv_heads} * kv.value_dim,
                          .kv_place = place.data()});
    }
  }

  const Flags flags_;
  std::unique_ptr<Backend> backend_;
  MachineProbe probe_;
  std::mt19937 random_{1};
};

absl::Status RunBench(const Flags& flags) {
  BackendOptions options;
  options.cpu.isa = flags.isa;
  options.cpu.threads = flags.threads;
  GH_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeBackend(options));
  GH_ASSIGN_OR_RETURN(MachineProbe probe, MachineProbe::Make());
  return AttentionBench(flags, std::move(backend), std::move(probe)).Run();
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Times paged attention on random caches beside the machine's own limits", "attention_bench");
  app.add_option("--isa", flags.isa, "portable, avx2 or avx512; default: GUILDHALL_ISA or the best");
  app.add_option("--threads", flags.threads, "0: the allowed CPUs")->check(CLI::NonNegativeNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  app.add_option("--contexts", flags.contexts)->delimiter(',')->check(CLI::PositiveNumber);
  app.add_option("--formats", flags.formats)
      ->delimiter(',')
      ->check(CLI::IsMember({"f32", "bf16", "f16", "int8"}));
  app.add_option("--shapes", flags.shapes)->delimiter(',')->check(CLI::IsMember({"mha", "gqa", "latent"}));
  app.add_flag("!--no-prefill", flags.prefill);
  app.add_flag("!--no-decode", flags.decode);
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = RunBench(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "attention_bench: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace guildhall

int main(int argc, char** argv) {
  return guildhall::Main(argc, argv);
}
