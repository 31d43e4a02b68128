// One call of a feed-forward op, and where its intermediate rows stand; for expert_ffn.cc and its low-rank
// half.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/context.h"
#include "kernels/cpu/products.h"
#include "kernels/ops.h"

namespace guildhall {

// ExpertFfnArgs and FfnArgs brought to one form.
struct FfnJob {
  const float* x;
  const FfnWeights* table;          // by slot
  std::span<const int32_t> active;  // slots with entries, the largest group first
  const int32_t* group_begin;       // null: one slot whose entries are 0, 1, 2, ...
  const int32_t* group_entry;
  const int32_t* slot_of;  // (rows, k) < 0: no entry; null: all are there
  const float* weight;
  float* y;
  int64_t rows, k, hidden, width;
  int64_t x_stride, y_stride;
  const LowRankRows& gate_up_low_rank;
  const LowRankRows& down_low_rank;
  const int32_t* expert;  // (rows, k) or null: all 0

  int64_t Begin(int32_t slot) const { return group_begin != nullptr ? group_begin[slot] : 0; }
  int64_t Size(int32_t slot) const {
    return group_begin != nullptr ? group_begin[slot + 1] - group_begin[slot] : rows;
  }
  int64_t Entry(int64_t place) const { return group_entry != nullptr ? group_entry[place] : place; }
  int64_t LargestGroup() const { return active.empty() ? 0 : Size(active[0]); }
};

// A place's h in Scratch::hidden, as the expert's `down` reads it. The int8 form stands behind a float one,
// which is there for low-rank changes only.
inline size_t HiddenOffset(RowFormat format, int64_t width) {
  return format == RowFormat::kInt8 ? RowBytes(RowFormat::kFloat, width) : 0;
}

inline InputRows HiddenRows(const FfnJob& job, RowFormat format, const CpuContext& context) {
  return {context.scratch.hidden + HiddenOffset(format, job.width), HiddenRowBytes(job.width)};
}

}  // namespace guildhall
