#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;

// (a, b) -> (a cos - b sin, b cos + a sin), each product and sum rounded once: the same bits as the CPU's. A
// thread for each pair, so in place is as good as elsewhere.
__global__ void RotatePairs(RopeArgs args) {
  const int half = static_cast<int>(args.rotary / 2);
  const int64_t item = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (item >= args.heads * half) return;
  const int64_t row = blockIdx.x, head = item / half, i = item % half;
  const int64_t first = args.interleaved ? 2 * i : i, second = args.interleaved ? 2 * i + 1 : i + half;
  const float* x = args.x + row * args.x_stride + head * args.head_stride;
  float* y = args.y == nullptr ? args.x + row * args.x_stride + head * args.head_stride
                               : args.y + row * args.y_stride + head * args.y_head_stride;
  const int64_t angle = static_cast<int64_t>(args.position[row]) * half + i;
  const float a = x[first], b = x[second], cos = args.cos[angle], sin = args.sin[angle];
  y[first] = a * cos - b * sin;
  y[second] = b * cos + a * sin;
}

}  // namespace

cudaError_t RopeOp(const RopeArgs& args, const Context& context) {
  GH_CHECK_EQ(args.rotary % 2, 0);
  GH_CHECK_GE(args.head_stride, args.rotary);
  const int64_t pairs = args.heads * (args.rotary / 2);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(DivideUp(pairs, kThreads))),
      .block = dim3(kThreads)};
  return Launch(RotatePairs, shape, context, args);
}

}  // namespace guildhall::cuda
