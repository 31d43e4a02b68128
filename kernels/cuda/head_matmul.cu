#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/low_rank.cuh"
#include "kernels/cuda/low_rank.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/product_tile.cuh"

namespace guildhall::cuda {
namespace {

// Rows of one head, of a DoRA adapter times what it multiplies x with.
struct HeadRows {
  const HeadMatMulArgs& args;
  int64_t head, first;

  __device__ const float* Row(int token) const {
    return args.x + (first + token) * args.x_stride + head * args.x_head_stride;
  }

  __device__ void Scale(int token, int64_t k, float (&v)[8]) const {
    const LowRankTerms terms = TermsOf(args.low_rank, first + token);
    if (terms.count == 0) return;
    float factor[8] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
    for (int64_t i = 0; i < terms.count; ++i) {
      const float* gain = terms.terms[i].change[head].in_gain;
      if (gain == nullptr) continue;
#pragma unroll
      for (int e = 0; e < 8; ++e) {
        if (k + e < args.w.first.in) factor[e] += gain[k + e] - 1.0f;
      }
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] *= factor[e];
  }
};

// A block has a strip of a head's outputs for some rows.
template <WeightFormat kFormat, int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) HeadMatMulKernel(HeadMatMulArgs args) {
  const Matrix& w = args.w.first;
  const TileLayout layout{kFormat, 1, w.out, w.in};
  const int64_t strip = blockIdx.x, first = int64_t{blockIdx.y} * kTokens, head = blockIdx.z;
  const int tokens = static_cast<int>(min(int64_t{kTokens}, args.rows - first));
  const ProductSums sums = MultiplyStrip<kFormat, 1, kTokens>(
      w.data + static_cast<size_t>(head) * args.w.head_stride + layout.StripOffset(strip),
      layout.StripOutputs(strip), w.in, HeadRows{args, head, first}, tokens, DynamicShared());
  for (int i = static_cast<int>(threadIdx.x); i < tokens * kStripOutputs; i += kProductThreads) {
    const int64_t row = first + i / kStripOutputs, output = strip * kStripOutputs + i % kStripOutputs;
    if (output >= w.out) continue;
    float sum = sums.At(0, i / kStripOutputs, i % kStripOutputs);
    const LowRankTerms terms = TermsOf(args.low_rank, row);
    if (terms.count > 0) {
      const float* u = args.low_rank.workspace + (row * args.w.heads + head) * args.low_rank.stride;
      sum = ApplyTerms(terms, {.index = head, .output = output, .gain = output}, ShrunkRow{u}, sum);
    }
    args.y[row * args.y_stride + head * args.y_head_stride + output] = sum;
  }
}

template <WeightFormat kFormat>
cudaError_t Multiply(const HeadMatMulArgs& args, const Context& context) {
  return ChooseTokens(args.rows, [&]<int kTokens>() {
    const dim3 grid(static_cast<unsigned>(DivideUp(args.w.first.out, kStripOutputs)),
                    static_cast<unsigned>(DivideUp(args.rows, kTokens)), static_cast<unsigned>(args.w.heads));
    return Launch(HeadMatMulKernel<kFormat, kTokens>,
                  {grid, dim3(kProductThreads), kProductBytes<kFormat, 1, kTokens>}, context, args);
  });
}

}  // namespace

cudaError_t HeadMatMulOp(const HeadMatMulArgs& args, const Context& context) {
  GH_CHECK_GE(args.rows, 0);
  const Matrix& w = args.w.first;
  GH_CHECK(!w.empty());
  GH_CHECK(!IsQuantized(w.format));  // products of heads have no quantized formats
  if (args.rows == 0) return cudaSuccess;
  if (!args.low_rank.none()) {
    const cudaError_t error = Shrink({.x = args.x,
                                      .x_stride = args.x_stride,
                                      .x_head_stride = args.x_head_stride,
                                      .rows = args.rows,
                                      .heads = args.w.heads,
                                      .low_rank = args.low_rank},
                                     context);
    if (error != cudaSuccess) return error;
  }
  if (w.format == WeightFormat::kF32) return Multiply<WeightFormat::kF32>(args, context);
  if (w.format == WeightFormat::kBF16) return Multiply<WeightFormat::kBF16>(args, context);
  return Multiply<WeightFormat::kF16>(args, context);
}

}  // namespace guildhall::cuda
