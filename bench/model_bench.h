// Forward passes of one generated model, each figure beside what the same run measured of the machine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "bench/forward_bench.h"
#include "bench/generated_weights.h"
#include "bench/roofline.h"
#include "kernels/cpu/machine_probe.h"
#include "kernels/make_backend.h"

namespace guildhall {

struct ModelBenchOptions {
  std::string shape = "olmoe";
  DType dtype = DType::kBF16;
  WeightFormats formats;
  int layers = 0;  // 0: the shape's own
  BackendOptions backend;
  std::vector<int64_t> decode{1, 4, 16, 32}, prefill{512};
};

// Decode steps of each number of sequences behind 64 tokens, prefill steps of each number of tokens.
std::vector<BenchCase> CasesOf(const ModelBenchOptions& options);
const char* KindName(const BenchCase& bench_case);  // "decode", "prefill"

// One case; one value of each list per round. Operations and bytes in giga per second.
struct CaseFigures {
  BenchCase bench_case;
  double experts = 0.0;     // distinct ones that random tokens chose: of a layer and step, the mean
  double step_bytes = 0.0;  // with these
  std::vector<double> rows_per_second;
  // Decode: of the lower of the two ceilings. Prefill: of the peak of the instructions used. What the machine
  // could is known of the CPU only: elsewhere its rates and the shares are 0.
  std::vector<double> share;
  std::vector<double> gbps, read_gbps;      // what the model read, what the machine could beside it
  std::vector<double> gflops, peak_gflops;  // what it computed, what these instructions could beside it
};
Json CaseJson(const CaseFigures& figures);

class ModelBench {
 public:
  // Generates the weights. RESOURCE_EXHAUSTED when they do not fit; INVALID_ARGUMENT for an unknown shape or
  // a level that this CPU lacks.
  static absl::StatusOr<std::unique_ptr<ModelBench>> Make(const ModelBenchOptions& options,
                                                          const ProgressFunction& progress = {});

  // Every case once, with about `seconds` of steps; the machine is measured on both sides of each.
  void Round(double seconds);

  const std::vector<CaseFigures>& figures() const { return figures_; }
  const ModelBenchOptions& options() const { return options_; }
  const ModelSpec& spec() const { return spec_; }
  const ModelCost& cost() const { return cost_; }
  const Backend& backend() const { return *backend_; }
  Decoder& decoder() { return *decoder_; }
  ForwardBench& forward() { return *forward_; }

  // "generated olmoe, 16 layers, int8 weights: 7.35 GB resident, 1.28 G parameters active".
  std::string Describe() const;
  std::string FormatText() const;  // of the weights: "bf16", "int8", "experts=int4,attention=int8"

 private:
  explicit ModelBench(const ModelBenchOptions& options) : options_(options) {}
  // Rows per second, with the share and the limits of this round.
  double RateBesideMachine(CpuContext& context, CaseFigures& f, const ActiveParameters& active,
                           double seconds);
  MachineLimits Limits(double read_gbps, const MachinePeaks& peaks) const;

  const ModelBenchOptions options_;
  ModelSpec spec_;
  ModelCost cost_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<MachineProbe> probe_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<ForwardBench> forward_;
  std::vector<CaseFigures> figures_;
};

}  // namespace guildhall
