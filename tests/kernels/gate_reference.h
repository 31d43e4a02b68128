// The rule of a GateSpec in double precision, written straight from its description.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gate_spec.h"

namespace guildhall {

struct GateChoice {
  std::vector<int32_t> expert;  // (k)
  std::vector<double> weight;   // (k)
  double gap =
      0;  // the least distance between numbers whose order decides: small means that rounding may decide
};

// `bias` may be empty.
GateChoice ReferenceGate(const GateSpec& gate, const std::vector<float>& logits,
                         const std::vector<float>& bias);

}  // namespace guildhall
