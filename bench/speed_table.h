// The whole table of marks: every shape, level and format, and what adapters cost, by one command.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/adapter_figure.h"
#include "bench/model_bench.h"

namespace guildhall {

struct SpeedTableOptions {
  std::vector<std::string> shapes{"olmoe", "small"};
  std::vector<std::string> formats{"bf16", "int8", "int4"};  // as ParseWeightFormats reads them
  std::vector<std::string> levels;                           // empty: this CPU's best, and avx2 below it
  int layers = 0;                                            // of each model; 0: the shape's own
  std::vector<int64_t> decode{1, 4, 16, 32}, prefill{512};
  int threads = 0;
  bool pin = false;
  int rounds = 5;
  double seconds = 1.0;    // of each measurement
  bool adapters = true;    // what adapters cost, over the first shape
  int adapter_layers = 4;  // of that model
  std::vector<std::string> adapter_formats{"bf16"};
  double memory_share = 0.6;  // of the available memory, for models that are measured in the same rounds
};

// One case of one model.
struct SpeedEntry {
  std::string shape, format, isa;
  int layers = 0;
  CaseFigures figures;
  Mark mark;  // of the share
};
// What adapters cost over a base in one format.
struct AdapterEntry {
  std::string model;  // shape, layers, format and back end
  std::string format;
  AdapterFigure figure;
};

struct SpeedTable {
  std::vector<std::string> machines;  // one line per level: what computed
  int rounds = 0;
  double seconds = 0.0;
  std::vector<SpeedEntry> entries;  // by shape, level and format, in the order of the cases
  std::vector<AdapterEntry> adapters;
};

// Models that together fit into `limit` bytes are measured in the same rounds; an order of neighbours is
// kept. One that does not fit by itself is a group of its own.
std::vector<std::vector<size_t>> GroupByMemory(const std::vector<double>& bytes, double limit);

// A line for each shape and format of which decoding one sequence reaches at a level less than 0.95 of the
// share of the bandwidth that it reaches at a lower one of the same machine: a kernel of the higher level
// waits for memory that it could have fetched ahead.
std::vector<std::string> SlowLevels(const std::vector<SpeedEntry>& entries);

// Measures everything; minutes to hours. `say` gets a line for each part that begins. INVALID_ARGUMENT for
// unknown names; RESOURCE_EXHAUSTED when a model does not fit.
absl::StatusOr<SpeedTable> MeasureSpeedTable(const SpeedTableOptions& options,
                                             const std::function<void(const std::string&)>& say);

}  // namespace guildhall
