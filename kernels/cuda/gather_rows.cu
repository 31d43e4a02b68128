#include "kernels/cuda/launch.h"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;

// A thread for each column of each row.
__global__ void CopyRows(GatherRowsArgs args) {
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (column >= args.width) return;
  const int64_t from = args.row[blockIdx.x];
  args.y[blockIdx.x * args.width + column] = args.x[from * args.width + column];
}

}  // namespace

cudaError_t GatherRowsOp(const GatherRowsArgs& args, const Context& context) {
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(DivideUp(args.width, kThreads))),
      .block = dim3(kThreads)};
  return Launch(CopyRows, shape, context, args);
}

}  // namespace guildhall::cuda
