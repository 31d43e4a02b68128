#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/warp.cuh"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kMostWarps = 8;
constexpr int kColumnsPerWarp = 256;

// The block's warps share the vector. Each thread takes every so-manieth element, ascending; then lanes are
// summed, then warps: the order depends on the width alone.
__device__ float SumOfSquares(const float* x, int64_t width, int thread, int threads) {
  float sum = 0.0f;
  for (int64_t i = thread; i < width; i += threads) sum = __fmaf_rn(x[i], x[i], sum);
  sum = WarpSum(sum);
  float* warps = reinterpret_cast<float*>(DynamicShared());
  if (threadIdx.x == 0) warps[threadIdx.y] = sum;
  __syncthreads();
  float total = 0.0f;
  for (unsigned w = 0; w < blockDim.y; ++w) total += warps[w];
  return total;
}

// A block for each group of each row.
__global__ void NormVectors(RmsNormArgs args) {
  const int64_t row = blockIdx.x / args.groups, group = blockIdx.x % args.groups;
  const float* x = args.x + row * args.x_stride + group * args.width;
  float* y = args.y + row * args.y_stride + group * args.width;
  const int thread = static_cast<int>(threadIdx.y * kWarpLanes + threadIdx.x);
  const int threads = static_cast<int>(blockDim.y) * kWarpLanes;
  const float mean = __fdiv_rn(SumOfSquares(x, args.width, thread, threads), static_cast<float>(args.width));
  const float inverse = __fdiv_rn(1.0f, __fsqrt_rn(mean + args.eps));
  for (int64_t i = thread; i < args.width; i += threads) {
    float v = x[i] * inverse * args.weight[i];
    // A NaN passes both.
    if (args.clip > 0.0f) v = v > args.clip ? args.clip : (v < -args.clip ? -args.clip : v);
    y[i] = v;
  }
}

}  // namespace

cudaError_t RmsNormOp(const RmsNormArgs& args, const Context& context) {
  GH_CHECK_GT(args.width, 0);
  GH_CHECK_GE(args.x_stride, args.groups * args.width);
  GH_CHECK_GE(args.y_stride, args.groups * args.width);
  const int64_t wanted = DivideUp(args.width, kColumnsPerWarp);
  const unsigned warps = wanted < kMostWarps ? static_cast<unsigned>(wanted) : kMostWarps;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(args.rows * args.groups)),
                          .block = dim3(kWarpLanes, warps),
                          .shared_bytes = kMostWarps * sizeof(float)};
  return Launch(NormVectors, shape, context, args);
}

}  // namespace guildhall::cuda
