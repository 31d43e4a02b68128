#include "base/check.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/low_rank.cuh"
#include "kernels/cuda/ops_internal.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {
namespace {

constexpr int kThreads = 256;

// Little-endian at any address: a checkpoint's tensors promise no alignment.
template <typename T>
__device__ T LoadBits(const std::byte* from) {
  if (reinterpret_cast<uintptr_t>(from) % sizeof(T) == 0) return *reinterpret_cast<const T*>(from);
  uint32_t bits = 0;
  for (int i = 0; i < static_cast<int>(sizeof(T)); ++i) bits |= static_cast<uint32_t>(from[i]) << (8 * i);
  return static_cast<T>(bits);
}

// Element `index`, widened exactly.
__device__ float LoadWide(const std::byte* from, WeightFormat format, int64_t index) {
  if (format == WeightFormat::kF32) return __uint_as_float(LoadBits<uint32_t>(from + 4 * index));
  const uint32_t bits = LoadBits<uint16_t>(from + 2 * index);
  return format == WeightFormat::kBF16 ? __uint_as_float(bits << 16) : WidenF16(static_cast<uint16_t>(bits));
}

// A x of a row that is one token: a row of the change's table, which is not packed.
struct TokenRow {
  int32_t token;

  __device__ float At(const LowRankTerm& term, const LowRankPart& part, int64_t, int64_t r) const {
    const Matrix& a = term.change->a;
    return LoadWide(a.data, a.format, token * a.out + part.rank_begin + r) * (part.scale * term.scale);
  }
};

// A thread for each column of each row.
__global__ void EmbedRows(EmbedArgs args, WeightFormat format) {
  const int64_t row = blockIdx.x;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (column >= args.hidden) return;
  const int32_t token = args.tokens[row];
  float y = LoadWide(static_cast<const std::byte*>(args.table), format, token * args.hidden + column);
  const LowRankTerms terms = TermsOf(args.low_rank, row);
  if (terms.count > 0) y = ApplyTerms(terms, {.output = column, .gain = column}, TokenRow{token}, y);
  args.y[row * args.hidden + column] = y;
}

}  // namespace

cudaError_t EmbedOp(const EmbedArgs& args, const Context& context) {
  GH_CHECK_GT(args.hidden, 0);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(DivideUp(args.hidden, kThreads))),
      .block = dim3(kThreads)};
  return Launch(EmbedRows, shape, context, args, FormatOf(args.dtype));
}

}  // namespace guildhall::cuda
