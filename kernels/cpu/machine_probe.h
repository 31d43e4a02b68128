// What this machine can do at most, measured: the ceilings that benchmarks state their results against.
#pragma once

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "kernels/cpu/context.h"

namespace guildhall {

// Peaks count a multiply and an add as two. The bf16 and int8 dot products are those of the chosen level; 0
// where it has none, and its bf16 products then run at the fp32 rate.
struct MachinePeaks {
  double read_gbps = 0;
  double fp32_gflops = 0;
  double bf16_gflops = 0;
  double int8_gops = 0;
};

// Measures on a pool: one thread by its CPU time, or all by the wall's. Reads run over memory of its own on 2
// MiB pages that no cache holds.
class MachineProbe {
 public:
  // RESOURCE_EXHAUSTED without the memory to read.
  static absl::StatusOr<MachineProbe> Make();

  // Takes about `seconds` for each figure and keeps the best of several short runs within it; ~0.2 is enough
  // for peaks.
  MachinePeaks Measure(CpuContext& context, bool all_threads, double seconds) const;

  // The median read rate of one pass after another for `seconds`: beside a measurement, not instead of it.
  double ReadGbps(CpuContext& context, bool all_threads, double seconds) const;

 private:
  explicit MachineProbe(Buffer memory) : memory_(std::move(memory)) {}

  Buffer memory_;
};

}  // namespace guildhall
