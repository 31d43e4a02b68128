// Tiles for AVX-512 with BF16 and VNNI. Compiled for that level: nothing here may run before isa.cc has said
// yes, and no inline function of another header may be called from here.
#include <immintrin.h>

#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

constexpr int kProbeAheadBytes = 4096;

// Two lines a unit are enough for the four of a whole group: the CPU fetches their neighbours by itself.
inline void Prefetch(const std::byte* ahead, int64_t half_step) {
  _mm_prefetch(ahead, _MM_HINT_T0);
  _mm_prefetch(ahead + half_step, _MM_HINT_T0);
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
template <int R, int P>
struct TileBF16 {
  static void Run(const TileArgs& args) {
    Accumulators<R, P> acc(args);
    const std::byte* w = args.w;
    const int32_t* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const int32_t*>(args.x[r]);
    const std::byte* ahead = args.ahead;
    const int64_t half_step = args.ahead_step / 2;
    const int64_t pairs = (args.k + 1) / 2;
    for (int64_t i = 0; i < pairs; ++i, w += P * 64, ahead += args.ahead_step) {
      Prefetch(ahead, half_step);
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
  struct Of {
    static void Run(const TileArgs& args) {
      Accumulators<R, P> acc(args);
      const std::byte* w = args.w;
      const float* x[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(args.x[r]);
      const std::byte* ahead = args.ahead;
      const int64_t half_step = args.ahead_step / 2;
      for (int64_t i = 0; i < args.k; ++i, w += P * Weights::kBytes, ahead += args.ahead_step) {
        Prefetch(ahead, half_step);
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
};

void ToBF16(const float* x, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += 16) {
    const auto mask = static_cast<__mmask16>(n - i >= 16 ? 0xffff : (1 << (n - i)) - 1);
    const __m256bh value = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, x + i));
    _mm256_mask_storeu_epi16(y + i, mask, (__m256i)value);
  }
}

uint64_t ProbeRead(const std::byte* data, int64_t bytes) {
  __m512i sum[4] = {};
  for (int64_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      _mm_prefetch(data + i + kProbeAheadBytes + j * 64, _MM_HINT_T0);
      sum[j] = _mm512_add_epi64(sum[j], _mm512_load_si512(data + i + j * 64));
    }
  }
  const __m512i all = _mm512_add_epi64(_mm512_add_epi64(sum[0], sum[1]), _mm512_add_epi64(sum[2], sum[3]));
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(all));
}

// Enough independent chains to fill the pipes at any latency seen so far.
constexpr int kChains = 16;

// Makes a value unknown to the compiler, which would otherwise see that all chains are one, and keeps it
// alive.
template <typename T>
void Launder(T& value) {
  asm volatile("" : "+v"(value));
}

double ProbeFp32(int64_t rounds) {
  __m512 chain[kChains] = {};
  __m512 x = _mm512_set1_ps(1.0f);
  Launder(x);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_fmadd_ps(x, x, chain[c]);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 16 * 2;
}

double ProbeBF16(int64_t rounds) {
  __m512 chain[kChains] = {};
  __m512i ones = _mm512_set1_epi16(0x3f80);
  Launder(ones);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_dpbf16_ps(chain[c], (__m512bh)ones, (__m512bh)ones);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 32 * 2;
}

double ProbeInt8(int64_t rounds) {
  __m512i chain[kChains] = {};
  __m512i ones = _mm512_set1_epi8(1);
  Launder(ones);
  for (auto& value : chain) Launder(value);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) chain[c] = _mm512_dpbusd_epi32(chain[c], ones, ones);
  }
  for (auto& value : chain) Launder(value);
  return static_cast<double>(rounds) * kChains * 64 * 2;
}

template <template <int, int> typename Tile, int P>
void FillPanels(TileFunction* rows) {
  rows[0] = Tile<1, P>::Run;
  rows[1] = Tile<2, P>::Run;
  rows[2] = Tile<3, P>::Run;
  rows[3] = Tile<4, P>::Run;
  rows[4] = Tile<5, P>::Run;
  rows[5] = Tile<6, P>::Run;
}

template <template <int, int> typename Tile>
void Fill(TileFunction (*panels)[kMaxTileRows]) {
  FillPanels<Tile, 1>(panels[0]);
  FillPanels<Tile, 2>(panels[1]);
  FillPanels<Tile, 3>(panels[2]);
  FillPanels<Tile, 4>(panels[3]);
}

MicroKernels Make() {
  MicroKernels kernels{};
  kernels.isa = Isa::kAvx512;
  for (int& panels : kernels.group_panels) panels = 4;
  kernels.piece_bytes = 32 << 10;
  kernels.row_format[static_cast<int>(WeightFormat::kBF16)] = RowFormat::kBF16;
  Fill<TileBF16>(kernels.tile[static_cast<int>(WeightFormat::kBF16)]);
  Fill<TileFloat<LoadF32>::Of>(kernels.tile[static_cast<int>(WeightFormat::kF32)]);
  Fill<TileFloat<LoadF16>::Of>(kernels.tile[static_cast<int>(WeightFormat::kF16)]);
  kernels.to_bf16 = ToBF16;
  AddAvx512IntegerTiles(kernels);
  kernels.probe = {ProbeRead, ProbeFp32, ProbeBF16, ProbeInt8};
  return kernels;
}

}  // namespace

const MicroKernels& Avx512MicroKernels() {
  static const MicroKernels kernels = Make();
  return kernels;
}

}  // namespace guildhall
