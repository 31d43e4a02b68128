#include "bench/speed_table.h"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "base/status.h"
#include "base/str_cat.h"
#include "bench/adapter_bench.h"
#include "bench/shapes.h"
#include "bench/statistics.h"
#include "kernels/make_backend.h"

namespace guildhall {
namespace {

constexpr const char* kAdapterParts[] = {"idle",     "lora",    "lora-experts", "rerouting",
                                         "replaced", "loading", "files"};

// Less than this part of a lower level's share is no noise of medians.
constexpr double kSlowLevel = 0.95;

constexpr const char* kLevels[] = {"portable", "avx2", "avx512"};  // each can do what those before it can

size_t LevelOf(const std::string& isa) {
  return static_cast<size_t>(std::find(std::begin(kLevels), std::end(kLevels), isa) - std::begin(kLevels));
}

bool IsDecodeOfOne(const SpeedEntry& entry) {
  return entry.figures.bench_case.kind == BenchCase::Kind::kDecode && entry.figures.bench_case.rows == 1;
}

double BandwidthShare(const SpeedEntry& entry) {
  return Median(entry.figures.gbps) / std::max(Median(entry.figures.read_gbps), 1e-9);
}

absl::StatusOr<WeightFormats> FormatsOf(const std::string& text) {
  // The generated checkpoint is bf16: its own numbers are what "bf16" asks for.
  if (text == "bf16") return WeightFormats{};
  return ParseWeightFormats(text);
}

// What an empty list of levels means here.
absl::StatusOr<std::vector<std::string>> LevelsOf(const SpeedTableOptions& options) {
  if (!options.levels.empty()) return options.levels;
  GH_ASSIGN_OR_RETURN(const auto best, MakeBackend({.cpu = {.threads = 1, .pin = false, .isa = ""}}));
  std::vector<std::string> levels{best->level()};
  if (levels[0] == "avx512") levels.emplace_back("avx2");
  return levels;
}

absl::StatusOr<std::vector<ModelBenchOptions>> ModelsOf(const SpeedTableOptions& options,
                                                        const std::string& shape,
                                                        const std::vector<std::string>& levels) {
  std::vector<ModelBenchOptions> models;
  for (const std::string& level : levels) {
    for (const std::string& format : options.formats) {
      ModelBenchOptions model;
      model.shape = shape;
      GH_ASSIGN_OR_RETURN(model.formats, FormatsOf(format));
      model.layers = options.layers;
      model.decode = options.decode;
      model.prefill = options.prefill;
      model.backend.cpu = {.threads = options.threads, .pin = options.pin, .isa = level};
      models.push_back(model);
    }
  }
  return models;
}

absl::StatusOr<double> WeightBytes(const ModelBenchOptions& model) {
  GH_ASSIGN_OR_RETURN(const ModelSpec spec, ShapeSpec(model.shape, model.dtype, model.layers));
  const double embedding = static_cast<double>(spec.hidden * spec.vocabulary) * 2.0;
  return CostOf(spec, model.formats).all_bytes() + embedding;
}

void Append(ModelBench& bench, SpeedTable& table) {
  const ModelBenchOptions& model = bench.options();
  const WeightFormat format = model.formats.experts.value_or(FormatOf(model.dtype));
  const std::string isa = bench.backend().level();
  for (const CaseFigures& figures : bench.figures()) {
    table.entries.push_back({model.shape, bench.FormatText(), isa,
                             static_cast<int>(bench.spec().layers.size()), figures,
                             CaseMark(model.shape, figures.bench_case, format, isa == "avx512")});
  }
  const std::string machine = bench.backend().Describe();
  if (std::find(table.machines.begin(), table.machines.end(), machine) == table.machines.end()) {
    table.machines.push_back(machine);
  }
}

// Every second round runs backward: what comes second finds another machine.
void RunRounds(std::vector<std::unique_ptr<ModelBench>>& benches, int rounds, double seconds) {
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < benches.size(); ++i) {
      benches[round % 2 == 0 ? i : benches.size() - 1 - i]->Round(seconds);
    }
  }
}

absl::Status MeasureAdapters(const SpeedTableOptions& options, const std::string& format, SpeedTable& table) {
  AdapterBenchOptions adapters;
  adapters.shape = options.shapes.front();
  adapters.layers = options.adapter_layers;
  GH_ASSIGN_OR_RETURN(adapters.formats, FormatsOf(format));
  adapters.backend.cpu = {.threads = options.threads, .pin = options.pin, .isa = ""};
  adapters.rounds = options.rounds;
  adapters.seconds = options.seconds;
  adapters.only.assign(std::begin(kAdapterParts), std::end(kAdapterParts));
  GH_ASSIGN_OR_RETURN(auto bench, AdapterBench::Make(adapters));
  const std::string model = bench->Describe();
  return bench->Run([&](const AdapterFigure& figure) { table.adapters.push_back({model, format, figure}); });
}

}  // namespace

std::vector<std::vector<size_t>> GroupByMemory(const std::vector<double>& bytes, double limit) {
  std::vector<std::vector<size_t>> groups;
  double used = 0.0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (groups.empty() || used + bytes[i] > limit) {
      groups.emplace_back();
      used = 0.0;
    }
    groups.back().push_back(i);
    used += bytes[i];
  }
  return groups;
}

std::vector<std::string> SlowLevels(const std::vector<SpeedEntry>& entries) {
  std::vector<std::string> warnings;
  for (const SpeedEntry& high : entries) {
    for (const SpeedEntry& low : entries) {
      if (!IsDecodeOfOne(high) || !IsDecodeOfOne(low) || LevelOf(low.isa) >= LevelOf(high.isa)) continue;
      if (low.shape != high.shape || low.format != high.format) continue;
      const double reached = BandwidthShare(high), reached_below = BandwidthShare(low);
      if (reached >= kSlowLevel * reached_below) continue;
      char text[256];
      std::snprintf(text, sizeof(text),
                    "%s, %s, decode 1: %s reaches %.2f of the bandwidth, %s reaches %.2f on this machine",
                    high.shape.c_str(), high.format.c_str(), high.isa.c_str(), reached, low.isa.c_str(),
                    reached_below);
      warnings.emplace_back(text);
    }
  }
  return warnings;
}

absl::StatusOr<SpeedTable> MeasureSpeedTable(const SpeedTableOptions& options,
                                             const std::function<void(const std::string&)>& say) {
  SpeedTable table;
  table.rounds = options.rounds;
  table.seconds = options.seconds;
  GH_ASSIGN_OR_RETURN(const auto levels, LevelsOf(options));
  GH_ASSIGN_OR_RETURN(const auto backend, MakeBackend({.cpu = {.threads = 1, .pin = false, .isa = ""}}));
  for (const std::string& shape : options.shapes) {
    GH_ASSIGN_OR_RETURN(const auto models, ModelsOf(options, shape, levels));
    std::vector<double> bytes;
    for (const ModelBenchOptions& model : models) {
      GH_ASSIGN_OR_RETURN(bytes.emplace_back(), WeightBytes(model));
    }
    GH_ASSIGN_OR_RETURN(const AvailableMemory memory, backend->memory().Available());
    const double limit = static_cast<double>(memory.bytes) * options.memory_share;
    for (const std::vector<size_t>& group : GroupByMemory(bytes, limit)) {
      std::vector<std::unique_ptr<ModelBench>> benches;
      for (const size_t i : group) {
        GH_ASSIGN_OR_RETURN(benches.emplace_back(), ModelBench::Make(models[i]));
        say(StrCat(benches.back()->Describe(), "; ", benches.back()->backend().level()));
      }
      RunRounds(benches, options.rounds, options.seconds);
      for (const auto& bench : benches) Append(*bench, table);
    }
  }
  if (!options.adapters) return table;
  for (const std::string& format : options.adapter_formats) {
    say(StrCat("adapters over ", options.shapes.front(), ", ", format));
    GH_RETURN_IF_ERROR(MeasureAdapters(options, format, table));
  }
  return table;
}

}  // namespace guildhall
