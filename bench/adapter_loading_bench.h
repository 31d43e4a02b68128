// What the load of an adapter costs: those that compute beside it, and itself.
#pragma once

#include "absl/status/status.h"
#include "bench/adapter_figure.h"
#include "bench/forward_bench.h"
#include "bench/generated_weights.h"
#include "weights/weight_manager.h"

namespace guildhall {

// References outlive the bench. One thread; steps and loads run on others.
class AdapterLoadingBench {
 public:
  struct Parts {
    const ModelSpec& spec;
    const GeneratedWeights& base;
    WeightManager& manager;
    ForwardBench& forward;
    BenchCase decode;  // the steps beside a load
    int rounds;
    double seconds;  // of each measurement
  };
  explicit AdapterLoadingBench(const Parts& parts) : parts_(parts) {}

  // The 99th percentile and the median of steps while an adapter is loaded and unloaded all the time, against
  // those of quiet steps.
  absl::Status BesideSteps(const AdapterReport& report);

  // A load from files against reading their bytes: with the files in the page cache, and without.
  absl::Status FromFiles(const AdapterReport& report);

 private:
  struct StepTimes {
    double median, tail;
  };
  StepTimes TimeSteps();

  const Parts parts_;
};

}  // namespace guildhall
