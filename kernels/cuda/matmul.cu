#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/low_rank.h"
#include "kernels/cuda/matmul_epilogue.cuh"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/product_tile.cuh"

namespace guildhall::cuda {
namespace {

// A block has a strip of outputs for some rows.
template <WeightFormat kFormat, int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) MatMulKernel(MatMulArgs args) {
  const TileLayout layout{kFormat, 1, args.w.out, args.w.in};
  const int64_t strip = blockIdx.x, first = int64_t{blockIdx.y} * kTokens;
  const int tokens = static_cast<int>(min(int64_t{kTokens}, args.rows - first));
  const ProductSums sums = MultiplyStrip<kFormat, 1, kTokens>(
      args.w.data + layout.StripOffset(strip), layout.StripOutputs(strip), args.w.in,
      PlainRows{args.x + first * args.x_stride, args.x_stride}, tokens, DynamicShared());
  for (int i = static_cast<int>(threadIdx.x); i < tokens * kStripOutputs; i += kProductThreads) {
    const int token = i / kStripOutputs;
    const int64_t output = strip * kStripOutputs + i % kStripOutputs;
    if (output >= args.w.out) continue;
    float& y = args.y[(first + token) * args.y_stride + output];
    y = Finish(args, first + token, output, sums.At(0, token, i % kStripOutputs), args.accumulate ? y : 0.0f);
  }
}

template <WeightFormat kFormat>
cudaError_t Multiply(const MatMulArgs& args, const Context& context) {
  return ChooseTokens(args.rows, [&]<int kTokens>() {
    const dim3 grid(static_cast<unsigned>(DivideUp(args.w.out, kStripOutputs)),
                    static_cast<unsigned>(DivideUp(args.rows, kTokens)));
    return Launch(MatMulKernel<kFormat, kTokens>,
                  {grid, dim3(kProductThreads), kProductBytes<kFormat, 1, kTokens>}, context, args);
  });
}

}  // namespace

cudaError_t MatMulOp(const MatMulArgs& args, const Context& context) {
  GH_CHECK_GE(args.rows, 0);
  GH_CHECK(!args.w.empty());
  if (args.rows == 0) return cudaSuccess;
  if (!args.low_rank.none()) {
    const cudaError_t error = Shrink(ShrinkOf(args), context);
    if (error != cudaSuccess) return error;
  }
  switch (args.w.format) {
    case WeightFormat::kF32:
      return Multiply<WeightFormat::kF32>(args, context);
    case WeightFormat::kBF16:
      return Multiply<WeightFormat::kBF16>(args, context);
    case WeightFormat::kF16:
      return Multiply<WeightFormat::kF16>(args, context);
    case WeightFormat::kInt8:
      return Multiply<WeightFormat::kInt8>(args, context);
    case WeightFormat::kInt4:
      return Multiply<WeightFormat::kInt4>(args, context);
    case WeightFormat::kInt4Offset:
      return Multiply<WeightFormat::kInt4Offset>(args, context);
  }
  return cudaErrorInvalidValue;
}

}  // namespace guildhall::cuda
