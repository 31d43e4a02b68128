// Tiles of quantized weights for AVX2, compiled for that level as gemm_avx2.cc is. Panel by panel: sixteen
// registers hold the integer sums of 6 rows of one; the float sums stay in the tile's memory.
#include <immintrin.h>

#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

constexpr int kQuads = kQuantBlock / 4;
constexpr int kQuadBytes = kPanelColumns * 4;    // of one panel
constexpr int kNumberBytes = kPanelColumns * 2;  // scales or offsets of one panel

// sum0 += w0 x and sum1 += w1 x, with `word` of x for all columns. Stated as instructions: GCC 12 else begins
// the products of later rows early, and spills sums.
inline void AddProducts16(__m256i& sum0, __m256i& sum1, __m256i w0, __m256i w1, const int32_t& word) {
  __m256i x, product;
  asm("vpbroadcastd %[word], %[x]\n\t"
      "vpmaddwd %[x], %[w0], %[product]\n\t"
      "vpaddd %[product], %[sum0], %[sum0]\n\t"
      "vpmaddwd %[x], %[w1], %[x]\n\t"
      "vpaddd %[x], %[sum1], %[sum1]"
      : [sum0] "+x"(sum0), [sum1] "+x"(sum1), [x] "=&x"(x), [product] "=&x"(product)
      : [w0] "x"(w0), [w1] "x"(w1), [word] "m"(word));
}

// The same of bytes, of which those of x are the signed ones, to 16-bit sums.
inline void AddProducts8(__m256i& sum0, __m256i& sum1, __m256i w0, __m256i w1, const int32_t& word) {
  __m256i x, product;
  asm("vpbroadcastd %[word], %[x]\n\t"
      "vpmaddubsw %[x], %[w0], %[product]\n\t"
      "vpaddw %[product], %[sum0], %[sum0]\n\t"
      "vpmaddubsw %[x], %[w1], %[x]\n\t"
      "vpaddw %[x], %[sum1], %[sum1]"
      : [sum0] "+x"(sum0), [sum1] "+x"(sum1), [x] "=&x"(x), [product] "=&x"(product)
      : [w0] "x"(w0), [w1] "x"(w1), [word] "m"(word));
}

inline __m256i Load(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

// Eight bf16 numbers.
inline __m256 LoadNumbers(const std::byte* p) {
  const __m128i bits = _mm_load_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

// The codes of one block of R rows as the products read them.
template <int R>
struct Codes {
  alignas(32) int32_t word[R][2][kQuads];
};

// 16-bit products of even and odd bytes apart: a pair of them is added to a 32-bit sum at once.
struct Int8 {
  static constexpr int kCodeBytes = kQuads * kQuadBytes;
  static constexpr int kBias = 128;
  static constexpr bool kOffsets = false;

  static void Prepare(const RowBlock& x, int32_t (*word)[kQuads]) {
    const __m256i q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x.q));
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(q, 8), 8);
    _mm256_store_si256(reinterpret_cast<__m256i*>(word[0]), even);
    _mm256_store_si256(reinterpret_cast<__m256i*>(word[1]), _mm256_srai_epi16(q, 8));
  }

  template <int R>
  static void Multiply(const std::byte* w, int64_t stride, const Codes<R>& codes, __m256i (*sum)[2]) {
    const __m256i low = _mm256_set1_epi16(255);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (int quad = 0; quad < kQuads; ++quad, w += stride) {
#pragma GCC unroll 2
      for (int odd = 0; odd < 2; ++odd) {
        const __m256i w0 = odd != 0 ? _mm256_srli_epi16(Load(w), 8) : _mm256_and_si256(Load(w), low);
        const __m256i w1 =
            odd != 0 ? _mm256_srli_epi16(Load(w + 32), 8) : _mm256_and_si256(Load(w + 32), low);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          AddProducts16(sum[r][0], sum[r][1], w0, w1, codes.word[r][odd][quad]);
        }
      }
    }
  }
};

// 8-bit products, whose 16-bit sums hold a whole block: 8 quads * 2 * 15 * 127 < 2^15.
struct Int4 {
  static constexpr int kCodeBytes = kQuads / 2 * kQuadBytes;
  static constexpr int kBias = 8;
  static constexpr bool kOffsets = false;

  static void Prepare(const RowBlock& x, int32_t (*word)[kQuads]) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(word[0]),
                       _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x.q)));
  }

  template <int R>
  static void Multiply(const std::byte* w, int64_t stride, const Codes<R>& codes, __m256i (*sum)[2]) {
    const __m256i mask = _mm256_set1_epi8(15);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (int quad = 0; quad < kQuads; quad += 2, w += stride) {
#pragma GCC unroll 2
      for (int upper = 0; upper < 2; ++upper) {
        __m256i w0 = Load(w), w1 = Load(w + 32);
        if (upper != 0) w0 = _mm256_srli_epi16(w0, 4), w1 = _mm256_srli_epi16(w1, 4);
        w0 = _mm256_and_si256(w0, mask), w1 = _mm256_and_si256(w1, mask);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          AddProducts8(sum[r][0], sum[r][1], w0, w1, codes.word[r][0][quad + upper]);
        }
      }
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      sum[r][0] = _mm256_madd_epi16(sum[r][0], ones);
      sum[r][1] = _mm256_madd_epi16(sum[r][1], ones);
    }
  }
};

struct Int4Offset : Int4 {
  static constexpr int kBias = 0;
  static constexpr bool kOffsets = true;
};

// Adds one block of one panel to the float sums in `tile`.
template <typename Format, int R>
void AddBlock(const std::byte* scales, const std::byte* offsets, const std::byte* w, int64_t stride,
              const Codes<R>& codes, const RowBlock* const* x, int64_t block, float* tile) {
  __m256i sum[R][2];
  Format::template Multiply<R>(w, stride, codes, sum);
  const __m256 scale[2] = {LoadNumbers(scales), LoadNumbers(scales + 16)};
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const RowBlock& row = x[r][block];
    // What the stored codes are too large by, times the sum of the row's.
    const __m256i excess = _mm256_set1_epi32(Format::kBias * row.sum);
    const __m256 row_scale = _mm256_set1_ps(row.scale);
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      float* to = tile + r * kTileStride + v * 8;
      const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[r][v], excess));
      __m256 value = _mm256_fmadd_ps(exact, _mm256_mul_ps(scale[v], row_scale), _mm256_load_ps(to));
      if constexpr (Format::kOffsets) {
        const __m256 row_sum = _mm256_set1_ps(row.scale * static_cast<float>(row.sum));
        value = _mm256_fmadd_ps(LoadNumbers(offsets + v * 16), row_sum, value);
      }
      _mm256_store_ps(to, value);
    }
  }
}

template <typename Format>
struct Tile {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    constexpr int kScaleBytes = P * kNumberBytes * (Format::kOffsets ? 2 : 1);
    constexpr int kUnitBytes = kScaleBytes + P * Format::kCodeBytes;
    const RowBlock* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const RowBlock*>(args.x[r]);
    if (!args.resume) {
      for (int r = 0; r < R; ++r) {
        for (int v = 0; v < 2 * P; ++v)
          _mm256_store_ps(args.tile + r * kTileStride + v * 8, _mm256_setzero_ps());
      }
    }
    const std::byte* unit = args.w;
    const std::byte* ahead = args.ahead;
    const int64_t blocks = (args.k + kQuantBlock - 1) / kQuantBlock;
    Codes<R> codes;
    for (int64_t block = 0; block < blocks; ++block, unit += kUnitBytes, ahead += args.ahead_step) {
      for (int64_t line = 0; line < args.ahead_step; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T0);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) Format::Prepare(x[r][block], codes.word[r]);
      for (int p = 0; p < P; ++p) {
        AddBlock<Format, R>(unit + p * kNumberBytes, unit + (P + p) * kNumberBytes,
                            unit + kScaleBytes + p * kQuadBytes, P * kQuadBytes, codes, x, block,
                            args.tile + p * kPanelColumns);
      }
    }
  }
};

}  // namespace

void AddAvx2IntegerTiles(MicroKernels& kernels) {
  FillQuantizedTiles<Tile<Int8>>(WeightFormat::kInt8, kernels);
  FillQuantizedTiles<Tile<Int4>>(WeightFormat::kInt4, kernels);
  FillQuantizedTiles<Tile<Int4Offset>>(WeightFormat::kInt4Offset, kernels);
}

}  // namespace guildhall
