#include "bench/model_bench.h"

#include <algorithm>
#include <cstdio>

#include "base/status.h"
#include "bench/shapes.h"
#include "bench/statistics.h"
#include "kernels/cpu/cpu_backend.h"

namespace guildhall {
namespace {

bool IsDecode(const BenchCase& c) {
  return c.kind == BenchCase::Kind::kDecode;
}

// Of the rows, those whose logits are wanted.
double OutputShare(const BenchCase& c) {
  return IsDecode(c) ? 1.0 : static_cast<double>(c.sequences) / static_cast<double>(c.rows);
}

DecoderOptions DecoderFor(const ModelBenchOptions& options) {
  DecoderOptions decoder;
  decoder.max_rows = decoder.max_outputs = 1;
  decoder.formats = options.formats;
  for (const BenchCase& c : CasesOf(options)) {
    decoder.max_rows = std::max(decoder.max_rows, c.rows);
    if (IsDecode(c)) decoder.max_outputs = std::max(decoder.max_outputs, c.rows);
    decoder.kv_blocks = std::max(decoder.kv_blocks, ForwardBench::BlocksFor(c));
  }
  return decoder;
}

}  // namespace

std::vector<BenchCase> CasesOf(const ModelBenchOptions& options) {
  std::vector<BenchCase> cases;
  for (const int64_t rows : options.decode) cases.push_back({BenchCase::Kind::kDecode, rows, 64});
  for (const int64_t rows : options.prefill) cases.push_back({BenchCase::Kind::kPrefill, rows, 0});
  return cases;
}

const char* KindName(const BenchCase& c) {
  return IsDecode(c) ? "decode" : "prefill";
}

Json CaseJson(const CaseFigures& f) {
  const Spread share = SpreadOf(f.share);
  return {{"kind", KindName(f.bench_case)},
          {"rows", f.bench_case.rows},
          {"rows_per_second", Median(f.rows_per_second)},
          {"share", share.median},
          {"share_low", share.low},
          {"share_high", share.high},
          {"gb_per_second", Median(f.gbps)},
          {"machine_gb_per_second", Median(f.read_gbps)},
          {"gflop_per_second", Median(f.gflops)},
          {"machine_gflop_per_second", Median(f.peak_gflops)},
          {"experts_per_layer", f.experts},
          {"step_bytes", f.step_bytes},
          {"all_rows_per_second", f.rows_per_second}};
}

absl::StatusOr<std::unique_ptr<ModelBench>> ModelBench::Make(const ModelBenchOptions& options,
                                                             const ProgressFunction& progress) {
  auto bench = std::unique_ptr<ModelBench>(new ModelBench(options));
  GH_ASSIGN_OR_RETURN(bench->spec_, ShapeSpec(options.shape, options.dtype, options.layers));
  GH_ASSIGN_OR_RETURN(bench->backend_, MakeBackend(options.backend));
  GH_ASSIGN_OR_RETURN(MachineProbe probe, MachineProbe::Make());
  bench->probe_ = std::make_unique<MachineProbe>(std::move(probe));
  bench->cost_ = CostOf(bench->spec_, options.formats);
  GH_ASSIGN_OR_RETURN(bench->decoder_, Decoder::Load(GeneratedWeights(bench->spec_), *bench->backend_,
                                                     DecoderFor(options), progress));
  bench->forward_ = std::make_unique<ForwardBench>(*bench->decoder_);
  for (const BenchCase& c : CasesOf(options)) {
    CaseFigures& figures = bench->figures_.emplace_back();
    figures.bench_case = c;
    const double slots = bench->spec_.moe() ? bench->forward_->SlotsRead(c) : 0.0;
    figures.experts = slots / std::max(1.0, static_cast<double>(MoeLayers(bench->spec_)));
    figures.step_bytes = StepBytes(bench->spec_, bench->cost_, slots);
  }
  return bench;
}

MachineLimits ModelBench::Limits(double read_gbps, const MachinePeaks& peaks) const {
  return {read_gbps * 1e9, peaks.fp32_gflops * 1e9, peaks.bf16_gflops * 1e9, peaks.int8_gops * 1e9};
}

void ModelBench::Round(double seconds) {
  auto* const cpu = dynamic_cast<CpuBackend*>(backend_.get());
  for (CaseFigures& f : figures_) {
    const ActiveParameters active = cost_.Active(OutputShare(f.bench_case));
    const double rate = cpu != nullptr ? RateBesideMachine(cpu->context(), f, active, seconds)
                                       : forward_->RowsPerSecond(f.bench_case, seconds);
    f.rows_per_second.push_back(rate);
    f.gbps.push_back(rate / static_cast<double>(f.bench_case.rows) * f.step_bytes * 1e-9);
    f.gflops.push_back(rate * 2.0 * active.all() * 1e-9);
    if (cpu == nullptr) {
      for (std::vector<double>* unknown : {&f.share, &f.read_gbps, &f.peak_gflops}) unknown->push_back(0.0);
    }
  }
}

double ModelBench::RateBesideMachine(CpuContext& context, CaseFigures& f, const ActiveParameters& active,
                                     double seconds) {
  // The machine is measured on both sides of each figure: it is shared, and its limits move.
  const double before = probe_->ReadGbps(context, true, 0.1);
  const MachinePeaks peaks = probe_->Measure(context, true, 0.02);
  const double rate = forward_->RowsPerSecond(f.bench_case, seconds);
  const double read = (before + probe_->ReadGbps(context, true, 0.1)) / 2.0;
  const Ceiling ceiling = CeilingOf(active, f.bench_case.rows, f.step_bytes, Limits(read, peaks));
  f.share.push_back(rate / (IsDecode(f.bench_case) ? ceiling.rows() : ceiling.arithmetic_rows));
  f.read_gbps.push_back(read);
  f.peak_gflops.push_back(ceiling.arithmetic_rows * 2.0 * active.all() * 1e-9);
  return rate;
}

std::string ModelBench::FormatText() const {
  return options_.formats == WeightFormats{} ? std::string(WeightFormatName(FormatOf(spec_.dtype)))
                                             : WeightFormatsText(options_.formats);
}

std::string ModelBench::Describe() const {
  char line[256];
  std::snprintf(line, sizeof(line), "%s, %zu layers, %s weights: %.2f GB resident, %.2f G parameters active",
                spec_.architecture.c_str(), spec_.layers.size(), FormatText().c_str(),
                cost_.all_bytes() * 1e-9, cost_.Active().all() * 1e-9);
  return line;
}

}  // namespace guildhall
