// Rows of x on their way into a product: a few neighbours of k of some rows, rounded to what the weights'
// format is multiplied with, in shared memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {

// Threads of a block of a product, and blocks that a multiprocessor has registers for: without the second
// number the compiler aims at more, and spills.
inline constexpr int kProductThreads = 128;
inline constexpr int kProductBlocks = 2;

// Rows `stride` apart, taken as they are. What products take their rows from has these two functions.
struct PlainRows {
  const float* x;
  int64_t stride;

  __device__ const float* Row(int token) const { return x + token * stride; }
  // Changes elements k, k + 1, ... of a row before they are rounded.
  __device__ void Scale(int, int64_t, float (&)[8]) const {}
};

// One row of a tile has TileK(kFormat) elements. bf16: 128 bytes, chunks as PlaceOfChunk. Others: floats (of
// f16 rounded to tf32), rows apart by so much that a warp's reads meet no bank twice.
template <WeightFormat kFormat, int kTokens>
struct InputTile {
  static constexpr bool kFloats = kFormat == WeightFormat::kF32 || kFormat == WeightFormat::kF16;
  static constexpr int kRowFloats = TileK(kFormat) + (kFormat == WeightFormat::kF32 ? 4 : 8);
  static constexpr int kRowBytes = kFloats ? kRowFloats * 4 : 128;
  static constexpr bool kBlockSums = kFormat == WeightFormat::kInt4Offset;
  static constexpr int kSumsAt = kTokens * kRowBytes;  // (kTokens, 2) sums of 32 rounded elements
  static constexpr int kBytes = kSumsAt + (kBlockSums ? kTokens * 8 : 0);
  static constexpr int kChunks = TileK(kFormat) / 8;

  // Warp, where sums are kept. `v`: the chunk's 8 elements.
  static __device__ void Store(std::byte* tile, int token, int chunk, const float (&v)[8]) {
    if constexpr (kFloats) {
      auto* to = reinterpret_cast<float4*>(tile + token * kRowBytes + chunk * 32);
      to[0] = make_float4(Round(v[0]), Round(v[1]), Round(v[2]), Round(v[3]));
      to[1] = make_float4(Round(v[4]), Round(v[5]), Round(v[6]), Round(v[7]));
    } else {
      const uint32_t pairs[4] = {RoundBf16Pair(v[0], v[1]), RoundBf16Pair(v[2], v[3]),
                                 RoundBf16Pair(v[4], v[5]), RoundBf16Pair(v[6], v[7])};
      *reinterpret_cast<uint4*>(tile + PlaceOfChunk(token, chunk)) =
          make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
      if constexpr (kBlockSums) StoreSum(tile, token, chunk, pairs);
    }
  }

 private:
  static __device__ float Round(float v) {
    return kFormat == WeightFormat::kF16 ? __uint_as_float(RoundTf32(v)) : v;
  }

  // Four neighbouring lanes have the chunks of a block.
  static __device__ void StoreSum(std::byte* tile, int token, int chunk, const uint32_t (&pairs)[4]) {
    float sum = 0.0f;
#pragma unroll
    for (const uint32_t pair : pairs) {
      sum += __uint_as_float(pair << 16);
      sum += __uint_as_float(pair & 0xffff0000u);
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (chunk % 4 == 0) reinterpret_cast<float*>(tile + kSumsAt)[token * 2 + chunk / 4] = sum;
  }
};

// A thread's share of a tile, in registers from when it is asked for until it is stored.
template <WeightFormat kFormat, int kTokens>
class InputShare {
 public:
  using Tile = InputTile<kFormat, kTokens>;

  // Elements from k on of the first `tokens` rows of `in` elements. Zeros behind their ends.
  template <typename Rows>
  __device__ void Load(const Rows& rows, int tokens, int64_t k, int64_t in) {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      const int token = TokenOf(i);
      const int64_t first = k + ChunkOf(i) * 8;
      const int64_t left = token < tokens ? in - first : 0;
      LoadChunk(left > 0 ? rows.Row(token) + first : nullptr, left, values_[i]);
      if (left > 0) rows.Scale(token, first, values_[i]);
    }
  }

  // Warp. All rows of a multiple of eight are written.
  __device__ void Store(std::byte* tile, int tokens) const {
#pragma unroll
    for (int i = 0; i < kItems; ++i) {
      if (TokenOf(i) < (tokens + 7) / 8 * 8) Tile::Store(tile, TokenOf(i), ChunkOf(i), values_[i]);
    }
  }

 private:
  static constexpr int kItems = (kTokens * Tile::kChunks + kProductThreads - 1) / kProductThreads;

  static __device__ int ItemOf(int i) {
    return static_cast<int>(threadIdx.x) + i * kProductThreads;
  }
  static __device__ int TokenOf(int i) {
    return ItemOf(i) / Tile::kChunks;
  }
  static __device__ int ChunkOf(int i) {
    return ItemOf(i) % Tile::kChunks;
  }

  static __device__ void LoadChunk(const float* from, int64_t left, float (&v)[8]) {
    if (left >= 8 && reinterpret_cast<uintptr_t>(from) % 16 == 0) {
      const float4 a = *reinterpret_cast<const float4*>(from);
      const float4 b = *reinterpret_cast<const float4*>(from + 4);
      v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
      v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
      return;
    }
#pragma unroll
    for (int e = 0; e < 8; ++e) v[e] = e < left ? from[e] : 0.0f;
  }

  float values_[kItems][8];
};

}  // namespace guildhall::cuda
