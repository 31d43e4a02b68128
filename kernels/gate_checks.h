// What every back end asks of a gate.
#pragma once

#include "base/check.h"
#include "kernels/gate_spec.h"

namespace guildhall {

// CHECKs that the gate can be evaluated.
inline void CheckGate(const GateSpec& gate) {
  GH_CHECK_GT(gate.experts, 0);
  GH_CHECK_GT(gate.k, 0);
  GH_CHECK_LE(gate.k, gate.experts);
  if (gate.selection == GateSpec::Selection::kGroupLimitedTopK) {
    GH_CHECK_GT(gate.groups, 0);
    GH_CHECK_EQ(gate.experts % gate.groups, 0);
    GH_CHECK_GT(gate.groups_kept, 0);
    GH_CHECK_LE(gate.groups_kept, gate.groups);
    GH_CHECK_LE(gate.k, gate.groups_kept * (gate.experts / gate.groups));
    if (gate.group_score == GateSpec::GroupScore::kSumOfTop2) GH_CHECK_GE(gate.experts / gate.groups, 2);
  }
}

}  // namespace guildhall
