// Tiles for AVX2 with FMA and F16C. Compiled for that level: nothing here may run before isa.cc has said yes,
// and no inline function of another header may be called from here.
#include <immintrin.h>

#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

// A panel is two vectors wide, so sixteen registers hold 6 rows of one panel or 3 rows of two.
constexpr int kMaxRowsOfTwoPanels = 3;
// Higher tiles of two panels go panel by panel through pieces of k that stay in the first-level cache.
constexpr int64_t kPieceElements = 128;

// sum + a * b with one rounding. Stated as the instruction that overwrites its sum: given the choice, GCC 12
// lets it overwrite a factor, moves sums from register to register and spills five of the twelve.
inline __m256 AddProduct(__m256 sum, __m256 a, __m256 b) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  return sum;
}

// Volatile, so that it is loaded again where it is needed again: the sums leave four registers, and keeping
// broadcasts from panel to panel would spill some.
inline __m256 Broadcast(const float& x) {
  __m256 broadcast;
  asm volatile("vbroadcastss %1, %0" : "=x"(broadcast) : "m"(x));
  return broadcast;
}

template <int R, int P>
struct Accumulators {
  __m256 value[R][2 * P];

  Accumulators(const float* tile, bool resume) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < 2 * P; ++v) {
        value[r][v] = resume ? _mm256_load_ps(tile + r * kTileStride + v * 8) : _mm256_setzero_ps();
      }
    }
  }

  void Store(float* tile) const {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < 2 * P; ++v) _mm256_store_ps(tile + r * kTileStride + v * 8, value[r][v]);
    }
  }

  // Panel `p` only: its two vectors of weights are all that lives beside the sums.
  void MultiplyAdd(int p, const float* const* x, int64_t k, __m256 w0, __m256 w1) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m256 broadcast = Broadcast(x[r][k]);
      value[r][2 * p] = AddProduct(value[r][2 * p], broadcast, w0);
      value[r][2 * p + 1] = AddProduct(value[r][2 * p + 1], broadcast, w1);
    }
  }
};

// The weights of one unit of k: kUnit elements along k of 16 columns a panel. Load() widens one of the
// elements of vector `v` of a panel.
struct WeightsBF16 {
  static constexpr int kUnit = 2;
  static constexpr int kPanelBytes = 64;

  // Of each pair the even element is the lower half of a 32-bit word: a shift or a mask widens it.
  static __m256 Load(const std::byte* panel, int element, int v) {
    const __m256i pair = _mm256_load_si256(reinterpret_cast<const __m256i*>(panel + v * 32));
    const __m256i wide = element == 0
                             ? _mm256_slli_epi32(pair, 16)
                             : _mm256_and_si256(pair, _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
    return _mm256_castsi256_ps(wide);
  }
};

struct WeightsF32 {
  static constexpr int kUnit = 1;
  static constexpr int kPanelBytes = 64;

  static __m256 Load(const std::byte* panel, int, int v) {
    return _mm256_load_ps(reinterpret_cast<const float*>(panel + v * 32));
  }
};

struct WeightsF16 {
  static constexpr int kUnit = 1;
  static constexpr int kPanelBytes = 32;

  static __m256 Load(const std::byte* panel, int, int v) {
    return _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(panel + v * 16)));
  }
};

// R rows times P panels that lie `stride` bytes apart from unit to unit.
template <typename Weights, int R, int P>
void Multiply(const std::byte* w, int64_t stride, const float* const* x_rows, int64_t k, float* tile,
              bool resume, const std::byte* ahead, int64_t ahead_step) {
  Accumulators<R, P> acc(tile, resume);
  const float* x[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) x[r] = x_rows[r];
  const auto add = [&](int64_t i, int element) {
#pragma GCC unroll 2
    for (int p = 0; p < P; ++p) {
      const std::byte* panel = w + p * Weights::kPanelBytes;
      acc.MultiplyAdd(p, x, i, Weights::Load(panel, element, 0), Weights::Load(panel, element, 1));
    }
    // The same for the other half of a pair.
    asm volatile("" : "+r"(w));
  };
  int64_t i = 0;
  for (; i + Weights::kUnit <= k; i += Weights::kUnit, w += stride, ahead += ahead_step) {
    _mm_prefetch(ahead, _MM_HINT_T0);
    if constexpr (P == 2) _mm_prefetch(ahead + ahead_step / 2, _MM_HINT_T0);
#pragma GCC unroll 2
    for (int element = 0; element < Weights::kUnit; ++element) add(i + element, element);
  }
  if (i < k) add(i, 0);  // an odd k leaves half a unit; x ends before its other half
  acc.Store(tile);
}

template <typename Weights>
struct Tile {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    constexpr int64_t kStride = P * Weights::kPanelBytes;
    const float* x[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) x[r] = static_cast<const float*>(args.x[r]);
    if constexpr (P == 1 || R <= kMaxRowsOfTwoPanels) {
      Multiply<Weights, R, P>(args.w, kStride, x, args.k, args.tile, args.resume, args.ahead,
                              args.ahead_step);
    } else {
      // Each panel fetches one of the two lines.
      const std::byte* w = args.w;
      const std::byte* ahead = args.ahead;
      const int64_t half = args.ahead_step / 2;
      bool resume = args.resume;
      for (int64_t begin = 0; begin < args.k; begin += kPieceElements) {
        const int64_t k = args.k - begin < kPieceElements ? args.k - begin : kPieceElements;
        for (int p = 0; p < 2; ++p) {
          Multiply<Weights, R, 1>(w + p * Weights::kPanelBytes, kStride, x, k, args.tile + p * kPanelColumns,
                                  resume, ahead + p * half, args.ahead_step);
        }
        resume = true;
        w += kPieceElements / Weights::kUnit * kStride;
        ahead += kPieceElements / Weights::kUnit * args.ahead_step;
        for (int r = 0; r < R; ++r) x[r] += kPieceElements;
      }
    }
  }
};

MicroKernels Make() {
  MicroKernels kernels{};
  kernels.isa = Isa::kAvx2;
  kernels.piece_bytes = 16 << 10;
  FillTiles<Tile<WeightsBF16>, 2>(WeightFormat::kBF16, kernels);
  FillTiles<Tile<WeightsF32>, 2>(WeightFormat::kF32, kernels);
  FillTiles<Tile<WeightsF16>, 2>(WeightFormat::kF16, kernels);
  AddAvx2IntegerTiles(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& Avx2MicroKernels() {
  static const MicroKernels kernels = Make();
  return kernels;
}

}  // namespace guildhall
