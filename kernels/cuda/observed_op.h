// What an op took, for who observes it: the device's own clock, and the op's cost from what it was given.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "kernels/cuda/device_memory.h"
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

// Copies `count` values from the device; false: that failed.
template <typename T>
bool BringToHost(const T* home, int64_t count, DeviceMemory& memory, std::vector<T>& to) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  auto* const place = reinterpret_cast<std::byte*>(const_cast<std::remove_const_t<T>*>(home));
  const auto twin = memory.MakeTwin(place, bytes);
  if (!twin.ok() || !memory.Download(*twin, bytes).ok()) return false;
  const T* const values = twin->template As<T>();
  to.assign(values, values + count);
  return true;
}

inline OpCost CostOnHost(ExpertFfnArgs args, const StepData&, DeviceMemory& memory) {
  std::vector<int32_t> begin;
  std::vector<FfnWeights> table;
  if (!BringToHost(args.group_begin, args.slots + 1, memory, begin)) return {};
  if (!BringToHost(args.table, args.slots, memory, table)) return {};
  args.group_begin = begin.data();
  args.table = table.data();
  return CostOf(args);
}

}  // namespace guildhall::cuda
