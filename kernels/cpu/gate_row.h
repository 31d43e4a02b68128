// The gate of one row: scores to selected experts and their weights, by the rule of a GateSpec.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/gate_spec.h"

namespace guildhall {

// Experts rounded up to whole vectors of any level.
constexpr int64_t GatePaddedExperts(int64_t experts) {
  return (experts + 15) / 16 * 16;
}

// Floats of worker memory: activated scores, what the selection compares, ranks of the groups.
constexpr int64_t GateScratchFloats(int64_t experts) {
  return 3 * GatePaddedExperts(experts);
}

// `logits` (experts), `bias` (experts) or null; writes `expert` and `weight` (k) in the order of selection:
// descending, the lower id first among equals. `scratch`: 64-byte aligned. A NaN ranks below every number and
// stays a NaN weight.
using GateRowFunction = void (*)(const GateSpec& gate, const float* logits, const float* bias, float* scratch,
                                 int32_t* expert, float* weight);
GateRowFunction ChooseGateRow(Isa isa);

}  // namespace guildhall
