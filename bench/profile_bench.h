// Where the time of a step goes: the steps of bench cases, op by op.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/json.h"
#include "base/profile.h"
#include "base/trace.h"
#include "bench/model_bench.h"
#include "kernels/op_profile.h"

namespace guildhall {

// One case. What the ops leave of the wall time is "outside ops": the model's code between them, and the
// making of the batch.
struct CaseProfile {
  BenchCase bench_case;
  int threads = 1;
  int64_t steps = 0, wall_ns = 0;
  Profile ops;

  std::string Text() const;
  Json ToJson() const;
};

class ProfileBench {
 public:
  // `traced`: with a trace. Errors as ModelBench::Make.
  static absl::StatusOr<std::unique_ptr<ProfileBench>> Make(const ModelBenchOptions& options, bool traced,
                                                            const ProgressFunction& progress = {});

  // Runs steps for at least `seconds` (and two steps).
  CaseProfile Measure(const BenchCase& bench_case, double seconds);
  // Runs a few steps into the trace.
  void Record(const BenchCase& bench_case);

  const Trace* trace() const { return trace_.get(); }  // null: not traced
  const Backend& backend() const { return *backend_; }

 private:
  ProfileBench() = default;

  std::unique_ptr<Trace> trace_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<OpProfile> profile_;
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<ForwardBench> forward_;
};

}  // namespace guildhall
