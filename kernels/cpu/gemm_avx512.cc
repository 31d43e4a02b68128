// Tiles for AVX-512 with BF16 and VNNI. Compiled for that level: nothing here may run before isa.cc has said
// yes, and no inline function of another header may be called from here.
#include <immintrin.h>

#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

// Every line of the step: not all CPUs fetch a line's neighbours by themselves.
inline void Prefetch(const std::byte* ahead, int64_t step) {
  for (int64_t line = 0; line < step; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T0);
}

template <int R, int P>
struct Accumulators {
  __m512 value[R][P];

  explicit Accumulators(const TileArgs& args) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) {
        value[r][p] =
            args.resume ? _mm512_load_ps(args.tile + r * kTileStride + p * 16) : _mm512_setzero_ps();
      }
    }
  }

  void Store(float* tile) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) _mm512_store_ps(tile + r * kTileStride + p * 16, value[r][p]);
    }
  }
};

// Pairs along k: one instruction multiplies two neighbours and adds both.
struct TileBF16 {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    Accumulators<R, P> acc(args);
    const std::byte* w = args.w;
    const int32_t* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const int32_t*>(args.x[r]);
    const std::byte* ahead = args.ahead;
    const int64_t pairs = (args.k + 1) / 2;
    for (int64_t i = 0; i < pairs; ++i, w += P * 64, ahead += args.ahead_step) {
      Prefetch(ahead, args.ahead_step);
      __m512bh weights[P];
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) weights[p] = (__m512bh)_mm512_load_si512(w + p * 64);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const auto pair = (__m512bh)_mm512_set1_epi32(x[r][i]);
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) acc.value[r][p] = _mm512_dpbf16_ps(acc.value[r][p], pair, weights[p]);
      }
    }
    acc.Store(args.tile);
  }
};

struct LoadF32 {
  static constexpr int kBytes = 64;
  static __m512 Load(const std::byte* w) { return _mm512_load_ps(w); }
};

struct LoadF16 {
  static constexpr int kBytes = 32;
  static __m512 Load(const std::byte* w) {
    return _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(w)));
  }
};

template <typename Weights>
struct TileFloat {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    Accumulators<R, P> acc(args);
    const std::byte* w = args.w;
    const float* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(args.x[r]);
    const std::byte* ahead = args.ahead;
    for (int64_t i = 0; i < args.k; ++i, w += P * Weights::kBytes, ahead += args.ahead_step) {
      Prefetch(ahead, args.ahead_step);
      __m512 weights[P];
#pragma GCC unroll 4
      for (int p = 0; p < P; ++p) weights[p] = Weights::Load(w + p * Weights::kBytes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const __m512 value = _mm512_set1_ps(x[r][i]);
#pragma GCC unroll 4
        for (int p = 0; p < P; ++p) acc.value[r][p] = _mm512_fmadd_ps(value, weights[p], acc.value[r][p]);
      }
    }
    acc.Store(args.tile);
  }
};

void ToBF16(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
    const __m256bh value = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
    _mm256_mask_storeu_epi16(y + i, mask, (__m256i)value);
  }
}

MicroKernels Make() {
  MicroKernels kernels{};
  kernels.isa = Isa::kAvx512;
  kernels.piece_bytes = 32 << 10;
  kernels.row_format[static_cast<int>(WeightFormat::kBF16)] = RowFormat::kBF16;
  FillTiles<TileBF16, 4>(WeightFormat::kBF16, kernels);
  FillTiles<TileFloat<LoadF32>, 4>(WeightFormat::kF32, kernels);
  FillTiles<TileFloat<LoadF16>, 4>(WeightFormat::kF16, kernels);
  kernels.to_bf16 = ToBF16;
  AddAvx512IntegerTiles(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& Avx512MicroKernels() {
  static const MicroKernels kernels = Make();
  return kernels;
}

}  // namespace guildhall
