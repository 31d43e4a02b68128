// One block's product: a strip of 64 outputs, or of 64 of gate and 64 of up, times a few rows, over all k in
// ascending order. Tiles of weights come to shared memory some stages ahead of their use, x one tile ahead.
//
// A row's sums do not depend on kTokens, on the number of rows, or on a row's place among them: each is its
// own column of mma, or its own chain.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/product_input.cuh"
#include "kernels/cuda/product_math.cuh"
#include "kernels/cuda/product_quantized.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {

// Floats between the sums of two tokens: a warp that writes fragments meets no bank twice.
inline constexpr int kSumStride = kStripOutputs + 4;

// The finished sums in shared memory, of those outputs that the strip holds.
struct ProductSums {
  float* sums;
  int part_stride;

  __device__ float& At(int part, int token, int output) const {
    return sums[part * part_stride + token * kSumStride + output];
  }
};

template <WeightFormat kFormat, int kParts, int kTokens>
struct ProductMemory {
  // Few rows come with few blocks, which then wait for memory alone.
  static constexpr int kStages = kTokens == 8 ? 5 : 3;
  static constexpr int kStageBytes = kParts * kStripOutputs * TileBytesPerOutput(kFormat);
  static constexpr int kInputBytes = InputTile<kFormat, kTokens>::kBytes;
  static constexpr int kInputsAt = kStages * kStageBytes;  // two of them
  static constexpr int kTileBytes = kInputsAt + 2 * kInputBytes;
  static constexpr int kSumBytes = kParts * kTokens * kSumStride * 4;
  static constexpr int kBytes = kTileBytes > kSumBytes ? kTileBytes : kSumBytes;
};

// Shared memory of MultiplyStrip.
template <WeightFormat kFormat, int kParts, int kTokens>
inline constexpr int kProductBytes = ProductMemory<kFormat, kParts, kTokens>::kBytes;

// Starts to copy one tile of all parts. Without one there is nothing in the group.
template <int kMostBytes>
__device__ inline void FetchTile(std::byte* stage, const std::byte* w, int bytes, bool there) {
#pragma unroll
  for (int first = 0; first < kMostBytes; first += kProductThreads * 16) {
    const int at = first + static_cast<int>(threadIdx.x) * 16;
    if (there && at < bytes) CopyAsync16(stage + at, w + at);
  }
  CopyAsyncCommit();
}

// Block. `w`: the strip's first tile; `outputs`: what it holds of each part; `rows`: as PlainRows; `tokens`:
// at least 1; `shared`: kProductBytes, 16-byte aligned, in which the sums lie. It may be called again as soon
// as the calling thread needs them no more.
template <WeightFormat kFormat, int kParts, int kTokens, typename Rows>
__device__ inline ProductSums MultiplyStrip(const std::byte* w, int outputs, int64_t in, const Rows& rows,
                                            int tokens, std::byte* shared) {
  using Memory = ProductMemory<kFormat, kParts, kTokens>;
  constexpr int kAhead = Memory::kStages - 1;
  const int64_t tiles = DivideUp(in, TileK(kFormat));
  const int tile_bytes = kParts * outputs * TileBytesPerOutput(kFormat);
  TileSums<kParts, kTokens> sums = {};
  InputShare<kFormat, kTokens> input;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    FetchTile<Memory::kStageBytes>(shared + i * Memory::kStageBytes, w + int64_t{i} * tile_bytes, tile_bytes,
                                   i < tiles);
  }
  input.Load(rows, tokens, 0, in);
  int stage = 0, next_stage = kAhead;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    std::byte* x = shared + Memory::kInputsAt + (tile % 2) * Memory::kInputBytes;
    input.Store(x, tokens);
    CopyAsyncWait<kAhead - 1>();
    __syncthreads();
    // All have done with the tile before, whose stage is the next to be filled.
    FetchTile<Memory::kStageBytes>(shared + next_stage * Memory::kStageBytes,
                                   w + (tile + kAhead) * tile_bytes, tile_bytes, tile + kAhead < tiles);
    if (tile + 1 < tiles) input.Load(rows, tokens, (tile + 1) * TileK(kFormat), in);
    TileMath<kFormat>::template Multiply<kParts, kTokens>(
        {shared + stage * Memory::kStageBytes, outputs, x, tokens}, sums);
    stage = stage == kAhead ? 0 : stage + 1;
    next_stage = next_stage == kAhead ? 0 : next_stage + 1;
  }
  __syncthreads();
  const ProductSums finished{reinterpret_cast<float*>(shared), kTokens * kSumStride};
  ForEachSum<kFormat, kParts, kTokens>(
      sums, outputs, tokens,
      [&](int part, int token, int output, float sum) { finished.At(part, token, output) = sum; });
  __syncthreads();
  return finished;
}

// A strip of a matrix whose format is known on the device only.
struct Strip {
  const std::byte* w;
  WeightFormat format;
  int outputs;
  int64_t in;
};

__device__ inline Strip StripOf(const std::byte* packed, const TileLayout& layout, int64_t strip) {
  return {packed + layout.StripOffset(strip), layout.format, layout.StripOutputs(strip), layout.in};
}

// Of formats that are not quantized; what MultiplyPlainStrip needs.
template <int kParts, int kTokens>
inline constexpr int kPlainProductBytes = kProductBytes<WeightFormat::kF16, kParts, kTokens>;

template <int kParts, int kTokens, typename Rows>
__device__ inline ProductSums MultiplyPlainStrip(const Strip& strip, const Rows& rows, int tokens,
                                                 std::byte* shared) {
  if (strip.format == WeightFormat::kF32) {
    return MultiplyStrip<WeightFormat::kF32, kParts, kTokens>(strip.w, strip.outputs, strip.in, rows, tokens,
                                                              shared);
  }
  if (strip.format == WeightFormat::kBF16) {
    return MultiplyStrip<WeightFormat::kBF16, kParts, kTokens>(strip.w, strip.outputs, strip.in, rows, tokens,
                                                               shared);
  }
  return MultiplyStrip<WeightFormat::kF16, kParts, kTokens>(strip.w, strip.outputs, strip.in, rows, tokens,
                                                            shared);
}

// Of any format.
template <int kParts, int kTokens>
inline constexpr int kAnyProductBytes = kPlainProductBytes<kParts, kTokens>;

template <int kParts, int kTokens, typename Rows>
__device__ inline ProductSums MultiplyAnyStrip(const Strip& strip, const Rows& rows, int tokens,
                                               std::byte* shared) {
  const auto [w, format, outputs, in] = strip;
  if (format == WeightFormat::kInt8) {
    return MultiplyStrip<WeightFormat::kInt8, kParts, kTokens>(w, outputs, in, rows, tokens, shared);
  }
  if (format == WeightFormat::kInt4) {
    return MultiplyStrip<WeightFormat::kInt4, kParts, kTokens>(w, outputs, in, rows, tokens, shared);
  }
  if (format == WeightFormat::kInt4Offset) {
    return MultiplyStrip<WeightFormat::kInt4Offset, kParts, kTokens>(w, outputs, in, rows, tokens, shared);
  }
  return MultiplyPlainStrip<kParts, kTokens>(strip, rows, tokens, shared);
}

// The largest tile of rows is left to many rows, so that weights pass by less often.
template <typename Body>
cudaError_t ChooseTokens(int64_t rows, Body body) {
  if (rows <= 8) return body.template operator()<8>();
  if (rows <= 32) return body.template operator()<32>();
  return body.template operator()<64>();
}

}  // namespace guildhall::cuda
