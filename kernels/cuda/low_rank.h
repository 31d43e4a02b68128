// The first half of low-rank changes of products whose rows come in segments.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/low_rank.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// Of all rows that have a set: u = scale * A x into the workspace, (rows, heads, stride), by head.
struct ShrinkArgs {
  const float* x;  // (rows, heads, in)
  int64_t x_stride, x_head_stride;
  int64_t rows, heads;
  LowRankRows low_rank;
};
cudaError_t Shrink(const ShrinkArgs& args, const Context& context);

inline ShrinkArgs ShrinkOf(const MatMulArgs& args) {
  return {.x = args.x,
          .x_stride = args.x_stride,
          .x_head_stride = 0,
          .rows = args.rows,
          .heads = 1,
          .low_rank = args.low_rank};
}

}  // namespace guildhall::cuda
