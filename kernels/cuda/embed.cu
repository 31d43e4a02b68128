#include "base/check.h"
#include "kernels/cuda/launch.h"
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

// y + scale * B a[token] of one column for one change: part by part, ranks ascending.
__device__ float AddChange(const LowRank& change, float scale, int32_t token, int64_t column, float y) {
  const std::byte* a = change.a.data;
  for (int64_t p = 0; p < change.part_count; ++p) {
    const LowRankPart& part = change.parts[p];
    const int64_t output = column - part.out_begin;
    if (output < 0 || output >= part.out) continue;
    const WeightFormat b_format = part.dtype == DType::kF32 ? WeightFormat::kF32 : WeightFormat::kBF16;
    for (int64_t r = 0; r < part.rank; ++r) {
      const float u = LoadWide(a, change.a.format, token * change.a.out + part.rank_begin + r);
      const float b = LoadWide(part.b, b_format, PlaceInB(part.out, output, r));
      y = __fmaf_rn(b, u * (part.scale * scale), y);
    }
  }
  return y;
}

__device__ float AddTerms(const LowRankTerms& terms, int32_t token, int64_t column, float y) {
  float factor = 1.0f;
  for (int64_t t = 0; t < terms.count; ++t) {
    const float* gain = terms.terms[t].change->gain;
    if (gain != nullptr) factor += gain[column] - 1.0f;
  }
  y *= factor;
  for (int64_t t = 0; t < terms.count; ++t) {
    const LowRank& change = *terms.terms[t].change;
    if (change.a.data != nullptr) y = AddChange(change, terms.terms[t].scale, token, column, y);
  }
  return y;
}

// A thread for each column of each row.
__global__ void EmbedRows(EmbedArgs args, WeightFormat format) {
  const int64_t row = blockIdx.x;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x;
  if (column >= args.hidden) return;
  const int32_t token = args.tokens[row];
  float y = LoadWide(static_cast<const std::byte*>(args.table), format, token * args.hidden + column);
  const RowSets& sets = args.low_rank.rows;
  const int32_t set = sets.tables == nullptr ? -1 : sets.set[row];
  if (set >= 0) y = AddTerms(sets.tables[set].products[args.low_rank.product], token, column, y);
  args.y[row * args.hidden + column] = y;
}

}  // namespace

cudaError_t EmbedOp(const EmbedArgs& args, const Context& context) {
  GH_CHECK_GT(args.hidden, 0);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>(args.rows), static_cast<unsigned>(DivideUp(args.hidden, kThreads))),
      .block = dim3(kThreads)};
  return Launch(EmbedRows, shape, context.stream, args, FormatOf(args.dtype));
}

}  // namespace guildhall::cuda
