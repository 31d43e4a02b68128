// What the load of an adapter costs: those that compute beside it, and itself.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "bench/adapter_figure.h"
#include "bench/forward_bench.h"
#include "bench/generated_weights.h"
#include "bench/load_parts.h"
#include "weights/weight_manager.h"

namespace guildhall {

// References outlive the bench. One thread; steps and loads run on others.
class AdapterLoadingBench {
 public:
  struct Parts {
    const ModelSpec& spec;
    const GeneratedWeights& base;
    Backend& backend;
    WeightFormat format;  // of packed experts
    WeightManager& manager;
    ForwardBench& forward;
    BenchCase decode;  // the steps beside a load
    int rounds;
    double seconds;  // of each measurement
  };
  explicit AdapterLoadingBench(const Parts& parts) : parts_(parts) {}
  ~AdapterLoadingBench();

  // The 99th percentile and the median of steps while an adapter is loaded from the page cache and unloaded
  // all the time, against those of quiet steps; and the same while a thread of the loader's priority does one
  // part of it alone.
  absl::Status BesideSteps(const AdapterReport& report);

  // A load from files against reading their bytes, with the files in the page cache and without; and what
  // each of its parts alone takes of one from the page cache.
  absl::Status FromFiles(const AdapterReport& report);

 private:
  struct StepTimes {
    double median, tail;
  };
  // Something that is done again and again beside steps, each time over the bytes of a load.
  struct Company {
    std::string name;
    std::function<absl::Status()> once;
  };

  absl::Status Prepare();  // the folder and the parts; again: nothing
  StepTimes TimeSteps();
  // Seconds; the adapter is unloaded again.
  absl::StatusOr<double> Load();
  absl::Status Beside(const Company& company, const Mark& mark, const AdapterReport& report);
  absl::Status LoadAgainstReading(bool cold, const Mark& mark, const AdapterReport& report);
  absl::Status Shares(const AdapterReport& report);

  const Parts parts_;
  std::string folder_;
  uint64_t file_bytes_ = 0;
  std::unique_ptr<LoadParts> load_parts_;
};

}  // namespace guildhall
