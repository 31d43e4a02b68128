// What an op took, for who observes it: the device's own clock, and the op's cost from what it was given.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/cuda/bring_to_host.h"
#include "kernels/op_cost.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// The matrix that an op multiplies by; null: none that has a name.
template <typename Args>
const std::byte* WeightsOf(const Args& args) {
  if constexpr (requires { args.w.first.data; }) return args.w.first.data;
  if constexpr (requires { args.w.data; }) return args.w.data;
  if constexpr (requires { args.w.gate_up.data; }) return args.w.gate_up.data;
  return nullptr;
}

// CostOf reads what the device holds: these bring it to the host first. The op is over. Where a copy fails
// the cost is 0; the step's end tells of it.
template <typename Args>
OpCost CostOnHost(const Args& args, const StepData&, DeviceMemory&) {
  return CostOf(args);
}

inline OpCost CostOnHost(AttentionArgs args, const StepData& step, DeviceMemory&) {
  args.step = &step;
  return CostOf(args);
}

inline OpCost CostOnHost(ExpertFfnArgs args, const StepData&, DeviceMemory& memory) {
  std::vector<int32_t> begin;
  std::vector<FfnWeights> table;
  if (!BringToHost(args.group_begin, args.slots + 1, memory, begin).ok()) return {};
  if (!BringToHost(args.table, args.slots, memory, table).ok()) return {};
  args.group_begin = begin.data();
  args.table = table.data();
  return CostOf(args);
}

}  // namespace guildhall::cuda
