// Feed-forward networks as one job: that of many experts and that of one network for all rows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// ExpertFfnArgs and FfnArgs brought to one form.
struct FfnJob {
  const float* x;
  const FfnWeights* table;  // (slots); null: `only` is the one slot's
  FfnWeights only;
  const int32_t* group_begin;  // null: the one slot's entries are 0, 1, 2, ...
  const int32_t* group_entry;
  const int32_t* slot_of;  // (rows, k) < 0: no entry; null: all are there
  const int32_t* expert;   // (rows, k) or null: all 0
  const float* weight;     // (rows, k) or null: all 1
  float* y;
  float* h;          // (rows * k, width)
  float* entry_out;  // (rows * k, hidden)
  int64_t rows, k, slots, hidden, width;
  int64_t x_stride, y_stride;
  LowRankRows gate_up_low_rank, down_low_rank;
  int64_t usual;  // how many entries of a slot there may well be
};

// CHECK the arguments.
FfnJob JobOf(const ExpertFfnArgs& args, const Context& context);
FfnJob JobOf(const FfnArgs& args, const Context& context);

// u of the first product's changes, of the second's; nothing without any.
cudaError_t ShrinkGateUp(const FfnJob& job, const Context& context);
cudaError_t ShrinkDown(const FfnJob& job, const Context& context);

// y += the weighed results of each row's entries, in the order of selection.
cudaError_t CombineEntries(const FfnJob& job, const Context& context);

}  // namespace guildhall::cuda
