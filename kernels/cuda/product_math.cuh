// A tile of weights times a tile of rows, by the weights' format: 64 outputs on the first side of mma, tokens
// on the second. A warp has 16 outputs, or with f32 every thread has four.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/product_input.cuh"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/weight_layout.h"

namespace guildhall::cuda {

// Of a thread, of kParts matrices: [part][8 tokens][4], whose places are its format's.
template <int kParts, int kTokens>
using TileSums = float[kParts][kTokens / 8][4];

__device__ inline int Lane() {
  return static_cast<int>(threadIdx.x) % 32;
}
__device__ inline int FirstOutputOfWarp() {
  return static_cast<int>(threadIdx.x) / 32 * kFragmentOutputs;
}

// The tiles in shared memory that are multiplied.
struct TileOperands {
  const std::byte* w;  // the parts' tiles, one behind the other
  int outputs;         // of each part: 16, 32, 48 or 64
  const std::byte* x;  // InputTile
  int tokens;
};

// The second operand of two k16 steps from k = 32 * block on: of tokens 8 j .. 8 j + 7.
__device__ inline void LoadInputPairs(const std::byte* x, int j, int block, uint32_t (&b)[2][2]) {
  uint32_t r[4];
  LdMatrixX4(r, x + PlaceOfChunk(8 * j + Lane() % 8, 4 * block + Lane() / 8));
  b[0][0] = r[0], b[0][1] = r[1], b[1][0] = r[2], b[1][1] = r[3];
}

// The first operand of a k16 step, of 16-bit weights, from k = 16 * step on.
__device__ inline void LoadWeightPairs(const std::byte* w, int step, uint32_t (&a)[4]) {
  LdMatrixX4(a, w + PlaceOfChunk(FirstOutputOfWarp() + Lane() % 16, 2 * step + Lane() / 16));
}

template <WeightFormat kFormat>
struct TileMath;

template <>
struct TileMath<WeightFormat::kBF16> {
  template <int kParts, int kTokens>
  static __device__ void Multiply(const TileOperands& tile, TileSums<kParts, kTokens>& sums) {
    if (FirstOutputOfWarp() >= tile.outputs) return;
#pragma unroll
    for (int block = 0; block < 2; ++block) {
      uint32_t a[kParts][2][4];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const std::byte* w = tile.w + part * tile.outputs * 128;
        LoadWeightPairs(w, 2 * block, a[part][0]);
        LoadWeightPairs(w, 2 * block + 1, a[part][1]);
      }
#pragma unroll
      for (int j = 0; j < kTokens / 8; ++j) {
        if (8 * j >= tile.tokens) break;
        uint32_t b[2][2];
        LoadInputPairs(tile.x, j, block, b);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          MmaBf16(sums[part][j], a[part][0], b[0]);
          MmaBf16(sums[part][j], a[part][1], b[1]);
        }
      }
    }
  }
};

// Halves widen to tf32 exactly. Steps of k8 take the even k of their eight first: registers of 16-bit
// matrices hold pairs, of which each half is an operand of its own.
template <>
struct TileMath<WeightFormat::kF16> {
  template <int kParts, int kTokens>
  static __device__ void Multiply(const TileOperands& tile, TileSums<kParts, kTokens>& sums) {
    if (FirstOutputOfWarp() >= tile.outputs) return;
    constexpr int kRowBytes = InputTile<WeightFormat::kF16, kTokens>::kRowBytes;
    const std::byte* x = tile.x + Lane() / 4 * kRowBytes + Lane() % 4 * 8;
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      uint32_t a[kParts][2][4];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        uint32_t pairs[4];
        LoadWeightPairs(tile.w + part * tile.outputs * 128, step, pairs);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          a[part][i / 2][i % 2] = Widen(pairs[i] & 0xffffu);
          a[part][i / 2][i % 2 + 2] = Widen(pairs[i] >> 16);
        }
      }
#pragma unroll
      for (int j = 0; j < kTokens / 8; ++j) {
        if (8 * j >= tile.tokens) break;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const uint2 pair =
              *reinterpret_cast<const uint2*>(x + 8 * j * kRowBytes + (16 * step + 8 * half) * 4);
          const uint32_t b[2] = {pair.x, pair.y};
#pragma unroll
          for (int part = 0; part < kParts; ++part) MmaTf32(sums[part][j], a[part][half], b);
        }
      }
    }
  }

 private:
  static __device__ uint32_t Widen(uint32_t half) {
    return __float_as_uint(WidenF16(static_cast<uint16_t>(half)));
  }
};

// One chain of multiply-adds over k for each output and token. Thread t has outputs 4 (t % 16) .. + 3 of
// tokens 8 j + t / 16.
template <>
struct TileMath<WeightFormat::kF32> {
  static __device__ int FirstOutput() { return static_cast<int>(threadIdx.x) % 16 * 4; }
  static __device__ int FirstToken() { return static_cast<int>(threadIdx.x) / 16; }

  template <int kParts, int kTokens>
  static __device__ void Multiply(const TileOperands& tile, TileSums<kParts, kTokens>& sums) {
    if (FirstOutput() >= tile.outputs) return;
    constexpr int kRowBytes = InputTile<WeightFormat::kF32, kTokens>::kRowBytes;
    const std::byte* x = tile.x + FirstToken() * kRowBytes;
#pragma unroll 4
    for (int k = 0; k < TileK(WeightFormat::kF32); ++k) {
      float4 w[kParts];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        w[part] = *reinterpret_cast<const float4*>(tile.w + part * tile.outputs * 128 +
                                                   PlaceOfF32(tile.outputs, FirstOutput(), k));
      }
#pragma unroll
      for (int j = 0; j < kTokens / 8; ++j) {
        if (8 * j >= tile.tokens) break;
        const float v = *reinterpret_cast<const float*>(x + 8 * j * kRowBytes + k * 4);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          float(&sum)[4] = sums[part][j];
          sum[0] = __fmaf_rn(w[part].x, v, sum[0]);
          sum[1] = __fmaf_rn(w[part].y, v, sum[1]);
          sum[2] = __fmaf_rn(w[part].z, v, sum[2]);
          sum[3] = __fmaf_rn(w[part].w, v, sum[3]);
        }
      }
    }
  }
};

// Where a thread's sums belong: store(part, token, output, value) for each.
template <WeightFormat kFormat, int kParts, int kTokens, typename StoreSum>
__device__ inline void ForEachSum(const TileSums<kParts, kTokens>& sums, int outputs, int tokens,
                                  StoreSum store) {
  constexpr bool kChains = kFormat == WeightFormat::kF32;
  using Chains = TileMath<WeightFormat::kF32>;
  if ((kChains ? Chains::FirstOutput() : FirstOutputOfWarp()) >= outputs) return;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    if (8 * j >= tokens) break;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = kChains ? Chains::FirstToken() : Lane() % 4 * 2 + i % 2;
        const int output = kChains ? Chains::FirstOutput() + i : FirstOutputOfWarp() + Lane() / 4 + i / 2 * 8;
        store(part, 8 * j + token, output, sums[part][j][i]);
      }
    }
  }
}

}  // namespace guildhall::cuda
