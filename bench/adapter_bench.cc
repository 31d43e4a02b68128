#include "bench/adapter_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <thread>
#include <utility>

#include "adapters/adapter_folder.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "bench/esft_folder.h"
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

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Asks the system to forget the files' pages; without the right to (or on a file system in memory) they stay.
void DropCache(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

// Of reading every file once, front to back.
double ReadSeconds(const std::filesystem::path& folder, bool cold) {
  if (cold) DropCache(folder);
  std::vector<char> piece(size_t{4} << 20);
  const auto begin = std::chrono::steady_clock::now();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    while (read(file, piece.data(), piece.size()) > 0) {
    }
    close(file);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

AdapterFigure Figure(const std::vector<double>& ratios) {
  AdapterFigure figure;
  figure.ratio = Median(ratios);
  figure.low = *std::min_element(ratios.begin(), ratios.end());
  figure.high = *std::max_element(ratios.begin(), ratios.end());
  return figure;
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
  GH_ASSIGN_OR_RETURN(bench->backend_, MakeCpuBackend(options.cpu));
  bench->base_ = std::make_unique<GeneratedWeights>(bench->spec_);
  DecoderOptions decoder;
  decoder.max_rows = kPrefillRows;
  decoder.max_outputs = 64;
  for (const BenchCase& c : {kDecode8, kDecode20, kPrefill8, kPrefill20})
    decoder.kv_blocks = std::max(decoder.kv_blocks, ForwardBench::BlocksFor(c));
  GH_ASSIGN_OR_RETURN(bench->decoder_, Decoder::Load(*bench->base_, *bench->backend_, decoder));
  WeightManagerOptions manager;
  manager.max_rows = kPrefillRows;
  bench->manager_ = std::make_unique<WeightManager>(bench->decoder_->spec(), *bench->backend_,
                                                    bench->decoder_->base_experts(),
                                                    std::make_shared<ByteBudget>(uint64_t{1} << 40), manager);
  bench->forward_ = std::make_unique<ForwardBench>(*bench->decoder_);
  return bench;
}

std::string AdapterBench::Describe() const {
  return StrCat(spec_.architecture, ", ", spec_.layers.size(), " layers, bf16; ", backend_->Describe());
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
  return Figure(ratios);
}

absl::Status AdapterBench::Run(const std::function<void(const AdapterFigure&)>& report) {
  report_ = report;
  GeneratedAdapterShape attention{.experts_per_layer = {}, .rank = options_.rank, .attention = true};
  GeneratedAdapterShape both = attention;
  both.experts = true;
  const auto wanted = [&](const char* section) { return options_.only.empty() || options_.only == section; };
  if (wanted("idle")) GH_RETURN_IF_ERROR(Idle());
  if (wanted("lora")) GH_RETURN_IF_ERROR(LowRank("LoRA on attention", attention));
  if (wanted("lora-experts")) GH_RETURN_IF_ERROR(LowRank("LoRA on attention and experts", both));
  if (wanted("rerouting")) GH_RETURN_IF_ERROR(Rerouting());
  if (wanted("replaced")) GH_RETURN_IF_ERROR(Replaced());
  if (wanted("scaling")) {
    GH_RETURN_IF_ERROR(Scaling("LoRA on attention", attention));
    GH_RETURN_IF_ERROR(Scaling("ESFT, 2 experts a layer", {.experts_per_layer = {2}}));
  }
  if (wanted("loading")) GH_RETURN_IF_ERROR(Loading());
  return wanted("files") ? Files() : absl::OkStatus();
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
  AdapterFigure figure = Figure(ratios);
  figure.name = "20 resident, none used: decode 8";
  figure.what = "speed of base rows against the same without any adapter loaded";
  figure.mark = ">= 0.99";
  report_(figure);
  return absl::OkStatus();
}

absl::Status AdapterBench::LowRank(const std::string& name, const GeneratedAdapterShape& shape) {
  {
    GH_ASSIGN_OR_RETURN(const Loaded loaded, Load(shape, 8));
    AdapterFigure figure = Compare(kDecode8, Active(loaded, 8), {});
    figure.name = StrCat(name, ", rank ", options_.rank, ": decode 8 on 8 tasks");
    figure.what = "speed against the same batch of base rows";
    figure.mark = ">= 0.90";
    report_(figure);
    figure = Compare(kPrefill8, Active(loaded, 8), {});
    figure.name = StrCat(name, ", rank ", options_.rank, ": prefill ", kPrefillRows, " on 8 tasks");
    figure.what = "speed against the same batch of base rows";
    figure.mark = ">= 0.80";
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
      figure.mark = ">= 0.99";
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
    const ModelCost cost = CostOf(spec_);
    const double base = StepBytes(spec_, cost, forward_->SlotsRead(kDecode8));
    const double mixed = StepBytes(spec_, cost, forward_->SlotsRead(kDecode8, active));
    AdapterFigure figure = Compare(kDecode8, {}, active);
    for (double* value : {&figure.ratio, &figure.low, &figure.high}) *value /= mixed / base;
    figure.name = "ESFT, 5 experts a layer: decode 8 on 8 tasks";
    figure.what = StrCat("time beside base rows, over the bytes that are read beside theirs (",
                         static_cast<int>(100.0 * (mixed / base - 1.0) + 0.5), " % more)");
    figure.mark = "<= 1.03";
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

// The 99th percentile of steps while an adapter is loaded and unloaded all the time, against that of quiet
// steps.
absl::Status AdapterBench::Loading() {
  const auto percentile = [&](double seconds) {
    std::vector<double> times;
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (int64_t i = 0; std::chrono::steady_clock::now() < end || times.size() < 20; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      forward_->Step(kDecode8, kDecode8.context + i % kKvBlockTokens);
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::sort(times.begin(), times.end());
    return std::pair(times[times.size() / 2], times[times.size() * 99 / 100]);
  };
  const GeneratedAdapterShape shape{.experts_per_layer = {6}};
  std::vector<double> medians, tails;
  double bytes = 0.0, seconds = 0.0;
  absl::Status status;
  for (int round = 0; round < options_.rounds; ++round) {
    const auto quiet = percentile(3.0 * options_.seconds);
    std::atomic<bool> stop{false};
    std::thread loader([&] {
      while (!stop && status.ok()) {
        LoadRequest request;
        request.name = "beside";
        request.open = [&] {
          return absl::StatusOr<std::unique_ptr<AdapterSource>>(MakeGeneratedAdapter(spec_, shape, 99));
        };
        const auto info = manager_->Load(request);
        status = info.status();
        if (!info.ok()) return;
        bytes += static_cast<double>(info->tensor_bytes);
        seconds += info->load_seconds;
        status = manager_->Unload("beside", std::nullopt, absl::Seconds(10)).status();
      }
    });
    const auto busy = percentile(3.0 * options_.seconds);
    stop = true;
    loader.join();
    GH_RETURN_IF_ERROR(status);
    medians.push_back(busy.first / quiet.first);
    tails.push_back(busy.second / quiet.second);
  }
  AdapterFigure figure = Figure(tails);
  figure.name = "steps of others during a load: 99th percentile (decode 8)";
  figure.what = StrCat("time against quiet steps; loads ran at ",
                       static_cast<int>(bytes / 1e6 / std::max(seconds, 1e-9)), " MB/s beside them");
  figure.mark = "<= 1.10";
  report_(figure);
  figure = Figure(medians);
  figure.name = "steps of others during a load: median (decode 8)";
  figure.what = "time against quiet steps";
  report_(figure);
  return absl::OkStatus();
}

// A load from files against reading their bytes: with the files in the page cache, and without.
absl::Status AdapterBench::Files() {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / StrCat("guildhall-bench-", static_cast<int64_t>(getpid()));
  const auto source = MakeGeneratedAdapter(spec_, {.experts_per_layer = {6}}, 7);
  absl::Status status = WriteEsftFolder(spec_, *source, folder.string());
  for (const bool cold : {true, false}) {
    std::vector<double> ratios;
    double rate = 0.0;
    for (int round = 0; round < options_.rounds && status.ok(); ++round) {
      const double read = ReadSeconds(folder, cold);
      if (cold) DropCache(folder);
      LoadRequest request;
      request.name = "from-files";
      request.open = [&] { return OpenAdapterFolder(folder.string(), *base_); };
      const auto info = manager_->Load(request);
      status = info.status();
      if (!info.ok()) break;
      rate = static_cast<double>(info->tensor_bytes) / info->load_seconds * 1e-6;
      ratios.push_back(info->load_seconds / read);
      status = manager_->Unload("from-files", std::nullopt, absl::Seconds(10)).status();
    }
    if (!status.ok()) break;
    AdapterFigure figure = Figure(ratios);
    figure.name = StrCat("load of an ESFT folder, ", cold ? "not in the page cache" : "in the page cache");
    figure.what = StrCat("time against reading its files once (", static_cast<int64_t>(rate),
                         " MB/s in the last round)");
    report_(figure);
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}

}  // namespace guildhall
