// The profile of a running server: where the engine thread's time goes, and a timeline of the threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/trace.h"
#include "engine/step_profile.h"
#include "kernels/op_profile.h"
#include "runtime/base_model.h"

namespace guildhall {

// Outlives the engine, not the model. Where neither is asked for, nothing is measured.
class ServeProfile {
 public:
  // `table`: sums for Report(). `trace_file`: written by Report(); empty: none.
  ServeProfile(bool table, std::string trace_file);

  bool enabled() const { return table_ || !trace_file_.empty(); }

  // Names the products; measures from now on. The model outlives this.
  void Start(const BaseModel& model);
  void AddTo(EngineOptions& options);

  // Logs the tables and writes the trace; the engine has stopped. UNAVAILABLE names the file that could not
  // be written.
  absl::Status Report();

 private:
  const bool table_;
  const std::string trace_file_;
  std::unique_ptr<Trace> trace_;
  std::unique_ptr<StepProfile> steps_;
  std::unique_ptr<OpProfile> ops_;
  int lanes_ = 1;  // of the back end
};

}  // namespace guildhall
