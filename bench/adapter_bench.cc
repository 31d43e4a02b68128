#include "bench/adapter_bench.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "bench/adapter_loading_bench.h"
#include "bench/roofline.h"
#include "bench/shapes.h"

namespace guildhall {
namespace {

constexpr int64_t kPrefillRows = 512;
constexpr int kMostAdapters = 20;
constexpr BenchCase kDecode8{BenchCase::Kind::kDecode, 8, 64};
constexpr BenchCase kDecode20{BenchCase::Kind::kDecode, kMostAdapters, 64};
constexpr BenchCase kPrefill8{BenchCase::Kind::kPrefill, kPrefillRows, 0, 8};
constexpr BenchCase kPrefill20{BenchCase::Kind::kPrefill, kPrefillRows, 0, kMostAdapters};

std::string NameOf(int i) {
  return StrCat("adapter-", i);
}

}  // namespace

struct AdapterBench::Loaded {
  std::vector<std::shared_ptr<const AdapterSet>> sets;
  std::shared_ptr<const ExpertTables> tables;
};

AdapterBench::~AdapterBench() = default;

absl::StatusOr<std::unique_ptr<AdapterBench>> AdapterBench::Make(const AdapterBenchOptions& options) {
  auto bench = std::unique_ptr<AdapterBench>(new AdapterBench(options));
  GH_ASSIGN_OR_RETURN(bench->spec_, ShapeSpec(options.shape, DType::kBF16, options.layers));
  GH_ASSIGN_OR_RETURN(bench->backend_, MakeBackend(options.backend));
  bench->base_ = std::make_unique<GeneratedWeights>(bench->spec_);
  DecoderOptions decoder;
  decoder.max_rows = kPrefillRows;
  decoder.max_outputs = 64;
  decoder.formats = options.formats;
  for (const BenchCase& c : {kDecode8, kDecode20, kPrefill8, kPrefill20})
    decoder.kv_blocks = std::max(decoder.kv_blocks, ForwardBench::BlocksFor(c));
  GH_ASSIGN_OR_RETURN(bench->decoder_, Decoder::Load(*bench->base_, *bench->backend_, decoder));
  WeightManagerOptions manager;
  manager.max_rows = kPrefillRows;
  manager.load_threads = 2;  // as adapters.load_threads is where nobody sets it
  bench->manager_ = std::make_unique<WeightManager>(
      bench->decoder_->spec(), *bench->backend_, bench->decoder_->base_experts(),
      std::make_shared<ByteBudget>(uint64_t{1} << 40), bench->decoder_->workspace(), manager);
  bench->forward_ = std::make_unique<ForwardBench>(*bench->decoder_);
  return bench;
}

std::string AdapterBench::Describe() const {
  return StrCat(spec_.architecture, ", ", spec_.layers.size(), " layers, ",
                options_.formats == WeightFormats{} ? "bf16" : WeightFormatsText(options_.formats), "; ",
                backend_->Describe());
}

absl::StatusOr<AdapterBench::Loaded> AdapterBench::Load(const GeneratedAdapterShape& shape, int count) {
  Loaded loaded;
  for (int i = 0; i < count; ++i) {
    LoadRequest request;
    request.name = NameOf(i);
    request.open = [&, i]() -> absl::StatusOr<std::unique_ptr<AdapterSource>> {
      return MakeGeneratedAdapter(spec_, shape, static_cast<uint64_t>(i) + 1);
    };
    GH_RETURN_IF_ERROR(manager_->Load(request).status());
    const AdapterUse use{NameOf(i), 1.0f};
    GH_ASSIGN_OR_RETURN(auto set, manager_->Acquire({&use, 1}, absl::InfiniteFuture()));
    loaded.sets.push_back(std::move(set));
  }
  loaded.tables = manager_->Tables();
  return loaded;
}

absl::Status AdapterBench::Unload(int count) {
  for (int i = 0; i < count; ++i) {
    GH_RETURN_IF_ERROR(manager_->Unload(NameOf(i), std::nullopt, absl::Seconds(10)).status());
  }
  return absl::OkStatus();
}

BenchAdapters AdapterBench::Active(const Loaded& loaded, int count) const {
  BenchAdapters adapters;
  for (int i = 0; i < count; ++i) adapters.sets.push_back(loaded.sets[static_cast<size_t>(i)].get());
  adapters.tables = loaded.tables.get();
  return adapters;
}

AdapterFigure AdapterBench::Compare(const BenchCase& c, const BenchAdapters& a,
                                    const BenchAdapters& b) const {
  std::vector<double> ratios;
  for (int round = 0; round < options_.rounds; ++round) {
    // The order changes from round to round: what comes second finds another machine.
    const bool first = round % 2 == 0;
    const double one = forward_->RowsPerSecond(c, options_.seconds, first ? a : b);
    const double two = forward_->RowsPerSecond(c, options_.seconds, first ? b : a);
    ratios.push_back(first ? one / two : two / one);
  }
  return {.name = "", .ratio = SpreadOf(ratios), .what = "", .mark = {}};
}

absl::Status AdapterBench::Run(const AdapterReport& report) {
  report_ = report;
  GeneratedAdapterShape attention{.experts_per_layer = {}, .rank = options_.rank, .attention = true};
  GeneratedAdapterShape both = attention;
  both.experts = true;
  const auto wanted = [&](const char* section) {
    const auto& only = options_.only;
    return only.empty() || std::find(only.begin(), only.end(), section) != only.end();
  };
  if (wanted("idle")) GH_RETURN_IF_ERROR(Idle());
  if (wanted("lora")) GH_RETURN_IF_ERROR(LowRank("LoRA on attention", attention));
  if (wanted("lora-experts")) GH_RETURN_IF_ERROR(LowRank("LoRA on attention and experts", both));
  if (wanted("rerouting")) GH_RETURN_IF_ERROR(Rerouting());
  if (wanted("replaced")) GH_RETURN_IF_ERROR(Replaced());
  if (wanted("scaling")) {
    GH_RETURN_IF_ERROR(Scaling("LoRA on attention", attention));
    GH_RETURN_IF_ERROR(Scaling("ESFT, 2 experts a layer", {.experts_per_layer = {2}}));
  }
  AdapterLoadingBench loading({spec_, *base_, *backend_, FormatOf(spec_.dtype), *manager_, *forward_,
                               kDecode8, options_.rounds, options_.seconds});
  if (wanted("loading")) GH_RETURN_IF_ERROR(loading.BesideSteps(report_));
  return wanted("files") ? loading.FromFiles(report_) : absl::OkStatus();
}

// Base rows while twenty adapters are resident, against the same with none.
absl::Status AdapterBench::Idle() {
  const GeneratedAdapterShape shape{.experts_per_layer = {1}, .rank = options_.rank, .attention = true};
  std::vector<double> ratios;
  for (int round = 0; round < options_.rounds; ++round) {
    const double before = forward_->RowsPerSecond(kDecode8, options_.seconds / 2);
    double resident = 0.0;
    {
      GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, kMostAdapters));
      resident = forward_->RowsPerSecond(kDecode8, options_.seconds);
    }
    GH_RETURN_IF_ERROR(Unload(kMostAdapters));
    const double after = forward_->RowsPerSecond(kDecode8, options_.seconds / 2);
    ratios.push_back(2.0 * resident / (before + after));
  }
  report_({.name = "20 resident, none used: decode 8",
           .ratio = SpreadOf(ratios),
           .what = "speed of base rows against the same without any adapter loaded",
           .mark = Mark::AtLeast(0.99)});
  return absl::OkStatus();
}

absl::Status AdapterBench::LowRank(const std::string& name, const GeneratedAdapterShape& shape) {
  {
    GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, 8));
    AdapterFigure figure = Compare(kDecode8, Active(loaded, 8), {});
    figure.name = StrCat(name, ", rank ", options_.rank, ": decode 8 on 8 tasks");
    figure.what = "speed against the same batch of base rows";
    figure.mark = Mark::AtLeast(0.92);
    report_(figure);
    figure = Compare(kPrefill8, Active(loaded, 8), {});
    figure.name = StrCat(name, ", rank ", options_.rank, ": prefill ", kPrefillRows, " on 8 tasks");
    figure.what = "speed against the same batch of base rows";
    figure.mark = Mark::AtLeast(0.90);
    report_(figure);
  }
  return Unload(8);
}

// Maps that change nothing: what rerouting itself costs, without the bytes of other experts.
absl::Status AdapterBench::Rerouting() {
  std::vector<int32_t> identity(static_cast<size_t>(spec_.gate.experts));
  std::iota(identity.begin(), identity.end(), 0);
  const GeneratedAdapterShape shape{.experts_per_layer = {1}};
  {
    GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, 8));
    std::vector<AdapterSet> sets(8);
    BenchAdapters mapped;
    mapped.tables = loaded.tables.get();
    for (AdapterSet& set : sets) {
      set.layers.resize(spec_.layers.size());
      for (size_t l = 0; l < spec_.layers.size(); ++l) {
        if (spec_.layers[l].moe) set.layers[l].expert_map = identity;
      }
      mapped.sets.push_back(&set);
    }
    for (const BenchCase& c : {kDecode8, kPrefill8}) {
      AdapterFigure figure = Compare(c, mapped, {});
      figure.name =
          StrCat("rerouting alone: ", c.kind == BenchCase::Kind::kDecode ? "decode 8" : "prefill 512",
                 " on 8 tasks");
      figure.what = "speed with maps that change nothing against none";
      figure.mark = Mark::AtLeast(0.99);
      report_(figure);
    }
  }
  return Unload(8);
}

// Time against what the bytes of the experts that were read predict.
absl::Status AdapterBench::Replaced() {
  const GeneratedAdapterShape shape{.experts_per_layer = {4, 8, 6, 2}};
  {
    GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, 8));
    const BenchAdapters active = Active(loaded, 8);
    const ModelCost cost = CostOf(spec_, options_.formats);
    const double base = StepBytes(spec_, cost, forward_->SlotsRead(kDecode8));
    const double mixed = StepBytes(spec_, cost, forward_->SlotsRead(kDecode8, active));
    AdapterFigure figure = Compare(kDecode8, {}, active);
    for (double* value : {&figure.ratio.median, &figure.ratio.low, &figure.ratio.high})
      *value /= mixed / base;
    figure.name = "ESFT, 5 experts a layer: decode 8 on 8 tasks";
    figure.what = StrCat("time beside base rows, over the bytes that are read beside theirs (",
                         static_cast<int>(100.0 * (mixed / base - 1.0) + 0.5), " % more)");
    figure.mark = Mark::AtMost(1.03);
    report_(figure);
  }
  return Unload(8);
}

absl::Status AdapterBench::Scaling(const std::string& name, const GeneratedAdapterShape& shape) {
  for (const int count : {1, 5, 10, kMostAdapters}) {
    {
      GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, count));
      for (const BenchCase& c : {kDecode20, kPrefill20}) {
        AdapterFigure figure = Compare(c, {}, Active(loaded, count));
        const bool decode = c.kind == BenchCase::Kind::kDecode;
        figure.name = StrCat(name, ": ", count, " resident and active, ",
                             decode ? "time per token (decode 20)" : "first token (prefill 512)");
        figure.what = "time against base rows";
        report_(figure);
      }
    }
    GH_RETURN_IF_ERROR(Unload(count));
  }
  return absl::OkStatus();
}

}  // namespace guildhall
