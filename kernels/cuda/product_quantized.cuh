// Tiles of quantized weights: codes become bf16 in registers, which is exact, and scales multiply the sums of
// a block of 32 k in fp32. So no weight is rounded: bf16 holds no product of a scale and a code of 8 bits,
// whose rounding would be as large as that of int8 itself. It costs four multiply-adds for two mma.
#pragma once

#include "kernels/cuda/product_math.cuh"

namespace guildhall::cuda {

// Scales (and offsets) of outputs g and g + 8 of the warp's 16.
struct BlockScales {
  float scale[2], offset[2];
};

template <WeightFormat kFormat>
struct QuantizedMath {
  static constexpr bool kOffsets = kFormat == WeightFormat::kInt4Offset;

  template <int kParts, int kTokens>
  static __device__ void Multiply(const TileOperands& tile, TileSums<kParts, kTokens>& sums) {
    if (FirstOutputOfWarp() >= tile.outputs) return;
#pragma unroll
    for (int block = 0; block < 2; ++block) {
      uint32_t a[kParts][2][4];
      BlockScales scales[kParts];
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const std::byte* w = tile.w + part * tile.outputs * TileBytesPerOutput(kFormat);
        LoadCodes(w, block, a[part]);
        scales[part] = LoadScales(w, tile.outputs, block);
      }
#pragma unroll
      for (int j = 0; j < kTokens / 8; ++j) {
        if (8 * j >= tile.tokens) break;
        uint32_t b[2][2];
        LoadInputPairs(tile.x, j, block, b);
#pragma unroll
        for (int part = 0; part < kParts; ++part) {
          float dot[4] = {};
          MmaBf16(dot, a[part][0], b[0]);
          MmaBf16(dot, a[part][1], b[1]);
          AddBlock<kTokens>(tile.x, j, block, scales[part], dot, sums[part][j]);
        }
      }
    }
  }

 private:
  // sum += scale * dot, then += offset * the sum of x.
  template <int kTokens>
  static __device__ void AddBlock(const std::byte* x, int j, int block, const BlockScales& scales,
                                  const float (&dot)[4], float (&sum)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] = __fmaf_rn(scales.scale[i / 2], dot[i], sum[i]);
    if constexpr (kOffsets) {
      const auto* x_sums = reinterpret_cast<const float*>(x + InputTile<kFormat, kTokens>::kSumsAt) +
                           (8 * j + Lane() % 4 * 2) * 2 + block;
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] = __fmaf_rn(scales.offset[i / 2], x_sums[i % 2 * 2], sum[i]);
    }
  }

  // The first operands of both k16 steps of a block.
  static __device__ void LoadCodes(const std::byte* w, int block, uint32_t (&a)[2][4]) {
    const std::byte* codes = w + FirstOutputOfWarp() / kFragmentOutputs * CodeBytes(kFormat) + Lane() * 16;
    if constexpr (kFormat == WeightFormat::kInt8) {
      const uint4 words = *reinterpret_cast<const uint4*>(codes + block * 512);
      Widen8(words.x, a[0][0], a[0][1]);
      Widen8(words.y, a[0][2], a[0][3]);
      Widen8(words.z, a[1][0], a[1][1]);
      Widen8(words.w, a[1][2], a[1][3]);
    } else {
      const uint2 words = *reinterpret_cast<const uint2*>(codes + block * 8);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        a[0][i] = Widen4(words.x >> (4 * i));
        a[1][i] = Widen4(words.y >> (4 * i));
      }
    }
  }

  static constexpr uint32_t kOnes = 0x3f803f80u;  // of bf16 pairs: 1
  static constexpr uint32_t k128 = 0x43004300u;   // 128, whose 7 bits of mantissa count ones

  // Two pairs of codes: one in bytes 0 and 2, the other in 1 and 3. 128 + its lower 7 bits, less 128 or, of a
  // negative code, 256.
  static __device__ void Widen8(uint32_t word, uint32_t& first, uint32_t& second) {
    first = Widen8(word);
    second = Widen8(word >> 8);
  }
  static __device__ uint32_t Widen8(uint32_t word) {
    return FmaBf16x2((word & 0x007f007fu) | k128, kOnes, (word & 0x00800080u) | k128 | 0x80008000u);
  }

  // The pair in bits 0..3 and 16..19: 128 + the stored code, less 128 or, of kInt4, 136.
  static __device__ uint32_t Widen4(uint32_t word) {
    return FmaBf16x2((word & 0x000f000fu) | k128, kOnes, kOffsets ? 0xc300c300u : 0xc308c308u);
  }

  static __device__ BlockScales LoadScales(const std::byte* w, int outputs, int block) {
    const std::byte* at = w + PlaceOfScale(kFormat, outputs, FirstOutputOfWarp() + Lane() / 4, block);
    BlockScales scales;
    Unpack(*reinterpret_cast<const uint32_t*>(at), scales.scale);
    if constexpr (kOffsets) Unpack(*reinterpret_cast<const uint32_t*>(at + 8), scales.offset);
    return scales;
  }
  static __device__ void Unpack(uint32_t pair, float (&values)[2]) {
    values[0] = __uint_as_float(pair << 16);
    values[1] = __uint_as_float(pair & 0xffff0000u);
  }
};

template <>
struct TileMath<WeightFormat::kInt8> : QuantizedMath<WeightFormat::kInt8> {};
template <>
struct TileMath<WeightFormat::kInt4> : QuantizedMath<WeightFormat::kInt4> {};
template <>
struct TileMath<WeightFormat::kInt4Offset> : QuantizedMath<WeightFormat::kInt4Offset> {};

}  // namespace guildhall::cuda
