// What adapters cost: each figure a ratio of two measurements that alternate in one run.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/adapter_figure.h"
#include "bench/forward_bench.h"
#include "bench/generated_adapter.h"
#include "bench/generated_weights.h"
#include "kernels/make_backend.h"
#include "weights/weight_manager.h"

namespace guildhall {

struct AdapterBenchOptions {
  std::string shape = "olmoe";
  int layers = 0;  // 0: the shape's own
  BackendOptions backend;
  int rounds = 5;
  double seconds = 1.0;  // of each measurement
  int64_t rank = 16;
  WeightFormats formats;          // of the base
  std::vector<std::string> only;  // of kAdapterSections; empty: all
};

inline constexpr const char* kAdapterSections[] = {"idle",     "lora",    "lora-experts", "rerouting",
                                                   "replaced", "scaling", "loading",      "files"};

class AdapterBench {
 public:
  // Generates the base model. RESOURCE_EXHAUSTED when it does not fit.
  static absl::StatusOr<std::unique_ptr<AdapterBench>> Make(const AdapterBenchOptions& options);
  ~AdapterBench();

  // All measurements; `report` is called after each, in order.
  absl::Status Run(const AdapterReport& report);

  std::string Describe() const;  // the model and the machine, one line

 private:
  struct Loaded;  // adapters by name, their sets
  explicit AdapterBench(const AdapterBenchOptions& options) : options_(options) {}

  absl::StatusOr<Loaded> Load(const GeneratedAdapterShape& shape, int count);
  absl::Status Unload(int count);
  BenchAdapters Active(const Loaded& loaded, int count) const;
  // rate(a) / rate(b), alternating.
  AdapterFigure Compare(const BenchCase& bench_case, const BenchAdapters& a, const BenchAdapters& b) const;

  absl::Status Idle();
  absl::Status LowRank(const std::string& name, const GeneratedAdapterShape& shape);
  absl::Status Replaced();
  absl::Status Rerouting();
  absl::Status Scaling(const std::string& name, const GeneratedAdapterShape& shape);

  const AdapterBenchOptions options_;
  ModelSpec spec_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<GeneratedWeights> base_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<WeightManager> manager_;
  std::unique_ptr<ForwardBench> forward_;
  AdapterReport report_;
};

}  // namespace guildhall
