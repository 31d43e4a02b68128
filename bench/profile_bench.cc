#include "bench/profile_bench.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/status.h"
#include "base/steady_clock.h"
#include "bench/shapes.h"
#include "kernels/make_backend.h"
#include "model/product_names.h"

namespace guildhall {
namespace {

constexpr int kRecordedSteps = 3;
constexpr const char* kRest = "outside ops";

DecoderOptions DecoderOptionsFor(const ModelBenchOptions& options) {
  DecoderOptions decoder;
  decoder.max_rows = decoder.max_outputs = 1;
  decoder.formats = options.formats;
  for (const BenchCase& bench_case : CasesOf(options)) {
    decoder.max_rows = std::max(decoder.max_rows, bench_case.rows);
    if (bench_case.kind == BenchCase::Kind::kDecode)
      decoder.max_outputs = std::max(decoder.max_outputs, bench_case.rows);
    decoder.kv_blocks = std::max(decoder.kv_blocks, ForwardBench::BlocksFor(bench_case));
  }
  return decoder;
}

}  // namespace

std::string CaseProfile::Text() const {
  char title[160];
  std::snprintf(title, sizeof(title), "%s %lld rows: %lld steps of %.3f ms\n", KindName(bench_case),
                static_cast<long long>(bench_case.rows), static_cast<long long>(steps),
                static_cast<double>(wall_ns) / static_cast<double>(steps) * 1e-6);
  return title + ProfileText(ops, threads, wall_ns, kRest);
}

Json CaseProfile::ToJson() const {
  Json json{{"kind", KindName(bench_case)}, {"rows", bench_case.rows}, {"steps", steps}};
  json.update(ProfileJson(ops, threads, wall_ns, kRest));
  return json;
}

absl::StatusOr<std::unique_ptr<ProfileBench>> ProfileBench::Make(const ModelBenchOptions& options,
                                                                 bool traced,
                                                                 const ProgressFunction& progress) {
  auto bench = std::unique_ptr<ProfileBench>(new ProfileBench());
  GH_ASSIGN_OR_RETURN(const ModelSpec spec, ShapeSpec(options.shape, options.dtype, options.layers));
  GH_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend, MakeBackend(options.backend));
  if (traced) bench->trace_ = std::make_unique<Trace>(backend->Threads());
  bench->backend_ = std::make_unique<ProfiledBackend>(std::move(backend), bench->trace_.get());
  GH_ASSIGN_OR_RETURN(bench->decoder_, Decoder::Load(GeneratedWeights(spec), *bench->backend_,
                                                     DecoderOptionsFor(options), progress));
  ForEachProduct(bench->decoder_->weights(), [&](const Matrix& matrix, std::string_view name) {
    bench->backend_->NameProduct(matrix, name);
  });
  bench->forward_ = std::make_unique<ForwardBench>(*bench->decoder_);
  return bench;
}

CaseProfile ProfileBench::Measure(const BenchCase& bench_case, double seconds) {
  CaseProfile result{.bench_case = bench_case, .threads = backend_->Threads(), .ops = {}};
  forward_->Step(bench_case, bench_case.context);  // warm
  backend_->Reset();
  backend_->Start(/*traced=*/false);
  const int64_t begin = SteadyNs();
  while (static_cast<double>(result.wall_ns) < seconds * 1e9 || result.steps < 2) {
    forward_->Step(bench_case, bench_case.context + result.steps % kKvBlockTokens);
    ++result.steps;
    result.wall_ns = SteadyNs() - begin;
  }
  backend_->Stop();
  result.ops = backend_->profile();
  return result;
}

void ProfileBench::Record(const BenchCase& bench_case) {
  forward_->Step(bench_case, bench_case.context);
  backend_->Start();
  for (int step = 0; step < kRecordedSteps; ++step)
    forward_->Step(bench_case, bench_case.context + step % kKvBlockTokens);
  backend_->Stop();
}

}  // namespace guildhall
