#include "kernels/cuda/low_rank.h"

#include "kernels/cuda/launch.h"
#include "kernels/cuda/low_rank.cuh"

namespace guildhall::cuda {
namespace {

// ChooseTokens finds a tile for a whole segment.
static_assert(kMostSegmentRows <= 64);

// A block has a segment, of a head.
template <int kTokens>
__global__ void __launch_bounds__(kProductThreads, kProductBlocks) ShrinkKernel(ShrinkArgs args) {
  const RowSegment segment = args.low_rank.rows.segments[blockIdx.x];
  const int64_t head = blockIdx.y, first = segment.begin;
  const int tokens = segment.end - segment.begin;
  const PlainRows rows{args.x + first * args.x_stride + head * args.x_head_stride, args.x_stride};
  float* u = args.low_rank.workspace + (first * args.heads + head) * args.low_rank.stride;
  const int64_t u_stride = args.heads * args.low_rank.stride;
  ShrinkTerms<kTokens>(
      args.low_rank.rows.tables[segment.set].products[args.low_rank.product], head, rows, tokens,
      [&](int token) { return u + token * u_stride; }, DynamicShared());
}

}  // namespace

cudaError_t Shrink(const ShrinkArgs& args, const Context& context) {
  const int64_t longest = args.rows < kMostSegmentRows ? args.rows : kMostSegmentRows;
  return ChooseTokens(longest, [&]<int kTokens>() {
    const dim3 grid(static_cast<unsigned>(args.low_rank.rows.segment_count),
                    static_cast<unsigned>(args.heads));
    return Launch(ShrinkKernel<kTokens>, {grid, dim3(kProductThreads), kPlainProductBytes<1, kTokens>},
                  context, args);
  });
}

}  // namespace guildhall::cuda
