// Tiles of quantized weights for AVX-512 with VNNI, compiled for that level as gemm_avx512.cc is. One
// instruction multiplies four unsigned codes of each of 16 columns with four codes of a row and adds them
// all.
#include <immintrin.h>

#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

constexpr int kQuads = kQuantBlock / 4;
constexpr int kQuadBytes = kPanelColumns * 4;    // of one panel
constexpr int kNumberBytes = kPanelColumns * 2;  // scales or offsets of one panel

inline __m512i Broadcast(const int8_t* quad) {
  int32_t word;
  __builtin_memcpy(&word, quad, sizeof(word));
  return _mm512_set1_epi32(word);
}

// 16 bf16 numbers.
inline __m512 LoadNumbers(const std::byte* p) {
  const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

// The sums of products of one block.
template <int R, int P>
struct Sums {
  __m512i value[R][P];

  // `quad`: elements of k, `w`: (P) the panels' codes of it.
  void Add(const RowBlock* const* x, int64_t block, int quad, const __m512i* w) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512i codes = Broadcast(x[r][block].q + 4 * quad);
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) value[r][p] = _mm512_dpbusd_epi32(value[r][p], w[p], codes);
    }
  }
};

struct Int8 {
  static constexpr int kCodeBytes = kQuads * kQuadBytes;
  static constexpr bool kOffsets = false;

  // What the stored codes are too large by, times the sum of the row's.
  static __m512i Start(int32_t sum) { return _mm512_set1_epi32(-128 * sum); }

  template <int R, int P>
  static void Multiply(const std::byte* codes, const RowBlock* const* x, int64_t block, Sums<R, P>& sums) {
#pragma GCC unroll 8
    for (int quad = 0; quad < kQuads; ++quad) {
      __m512i w[P];
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) w[p] = _mm512_loadu_si512(codes + (quad * P + p) * kQuadBytes);
      sums.Add(x, block, quad, w);
    }
  }
};

struct Int4 {
  static constexpr int kCodeBytes = kQuads / 2 * kQuadBytes;
  static constexpr bool kOffsets = false;

  static __m512i Start(int32_t sum) { return _mm512_set1_epi32(-8 * sum); }

  template <int R, int P>
  static void Multiply(const std::byte* codes, const RowBlock* const* x, int64_t block, Sums<R, P>& sums) {
    const __m512i mask = _mm512_set1_epi8(15);
#pragma GCC unroll 4
    for (int quad = 0; quad < kQuads; quad += 2) {
      __m512i lower[P], upper[P];
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        const __m512i both = _mm512_loadu_si512(codes + (quad / 2 * P + p) * kQuadBytes);
        lower[p] = _mm512_and_si512(both, mask);
        upper[p] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
      }
      sums.Add(x, block, quad, lower);
      sums.Add(x, block, quad + 1, upper);
    }
  }
};

struct Int4Offset : Int4 {
  static constexpr bool kOffsets = true;

  static __m512i Start(int32_t) { return _mm512_setzero_si512(); }
};

// The sums of R rows times P panels.
template <typename Format, int R, int P>
struct TileSums {
  static constexpr int kScaleBytes = P * kNumberBytes * (Format::kOffsets ? 2 : 1);
  static constexpr int kUnitBytes = kScaleBytes + P * Format::kCodeBytes;

  __m512 value[R][P];

  explicit TileSums(const TileArgs& args) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) {
        value[r][p] =
            args.resume ? _mm512_load_ps(args.tile + r * kTileStride + p * 16) : _mm512_setzero_ps();
      }
    }
  }

  void Store(float* tile) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) _mm512_store_ps(tile + r * kTileStride + p * 16, value[r][p]);
    }
  }

  void AddBlock(const std::byte* unit, const RowBlock* const* x, int64_t block) {
    Sums<R, P> sums;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < P; ++p) sums.value[r][p] = Format::Start(x[r][block].sum);
    }
    Format::Multiply(unit + kScaleBytes, x, block, sums);
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      const __m512 scales = LoadNumbers(unit + p * kNumberBytes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(x[r][block].scale));
        value[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums.value[r][p]), scale, value[r][p]);
      }
    }
    if constexpr (Format::kOffsets) AddOffsets(unit + P * kNumberBytes, x, block);
  }

  void AddOffsets(const std::byte* numbers, const RowBlock* const* x, int64_t block) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      const __m512 offsets = LoadNumbers(numbers + p * kNumberBytes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const float sum = x[r][block].scale * static_cast<float>(x[r][block].sum);
        value[r][p] = _mm512_fmadd_ps(offsets, _mm512_set1_ps(sum), value[r][p]);
      }
    }
  }
};

template <typename Format>
struct Tile {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    TileSums<Format, R, P> sums(args);
    const RowBlock* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const RowBlock*>(args.x[r]);
    const std::byte* unit = args.w;
    const std::byte* ahead = args.ahead;
    const int64_t blocks = (args.k + kQuantBlock - 1) / kQuantBlock;
    for (int64_t block = 0; block < blocks; ++block, unit += sums.kUnitBytes, ahead += args.ahead_step) {
      for (int64_t line = 0; line < args.ahead_step; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T0);
      sums.AddBlock(unit, x, block);
    }
    sums.Store(args.tile);
  }
};

}  // namespace

void AddAvx512IntegerTiles(MicroKernels& kernels) {
  FillQuantizedTiles<Tile<Int8>>(WeightFormat::kInt8, kernels);
  FillQuantizedTiles<Tile<Int4>>(WeightFormat::kInt4, kernels);
  FillQuantizedTiles<Tile<Int4Offset>>(WeightFormat::kInt4Offset, kernels);
}

}  // namespace guildhall
