// What a plain product does with its sums.
#pragma once

#include <cstdint>

#include "kernels/cuda/low_rank.cuh"
#include "kernels/cuda/math.h"
#include "kernels/ops.h"

namespace guildhall::cuda {

// What becomes of W x on its way to y.
__device__ inline float Finish(const MatMulArgs& args, int64_t row, int64_t output, float sum, float before) {
  const LowRankTerms terms = TermsOf(args.low_rank, row);
  if (terms.count > 0) {
    const float* u = args.low_rank.workspace + row * args.low_rank.stride;
    sum = ApplyTerms(terms, {.output = output, .gain = output}, ShrunkRow{u}, sum);
  }
  if (args.bias != nullptr) sum += args.bias[output];
  if (args.clip > 0.0f) {
    sum = sum > args.clip ? args.clip : sum;
    sum = sum < -args.clip ? -args.clip : sum;
  }
  if (args.sigmoid) sum = Sigmoid(sum);
  return args.accumulate ? before + sum : sum;
}

}  // namespace guildhall::cuda
