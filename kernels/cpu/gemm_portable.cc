// Tiles for any CPU, on the vectors of four that GCC and Clang have for every target. Product and sum round
// apart, in every tile alike (-ffp-contract=off).
#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

using Vector = float __attribute__((vector_size(16)));
using Words = uint32_t __attribute__((vector_size(16)));
using Halves = uint16_t __attribute__((vector_size(8)));
constexpr int kVectors = kPanelColumns / 4;  // of one panel

template <typename V>
V LoadAs(const void* p) {
  return *static_cast<const V*>(p);
}

inline Vector Set(float value) {
  return Vector{value, value, value, value};
}

struct WeightsBF16 {
  static constexpr int kUnit = 2;
  static constexpr int kPanelBytes = 64;

  static Vector Load(const std::byte* w, int element, int v) {
    const auto pair = LoadAs<Words>(w + 16 * v);
    const Words wide = element == 0 ? pair << 16 : pair & 0xffff0000u;
    return reinterpret_cast<Vector>(wide);
  }
};

struct WeightsF32 {
  static constexpr int kUnit = 1;
  static constexpr int kPanelBytes = 64;

  static Vector Load(const std::byte* w, int, int v) { return LoadAs<Vector>(w + 16 * v); }
};

struct WeightsF16 {
  static constexpr int kUnit = 1;
  static constexpr int kPanelBytes = 32;

  // The bits of a half, moved to a float's places, are its value times 2^-112, subnormal or not.
  static Vector Load(const std::byte* w, int, int v) {
    const auto half = __builtin_convertvector(LoadAs<Halves>(w + 8 * v), Words);
    const Words magnitude = (half & 0x7fffu) << 13;
    const Vector scaled = reinterpret_cast<Vector>(magnitude) * Set(0x1p112f);
    const Words no_number = reinterpret_cast<Words>(magnitude >= (0x7c00u << 13)) & 0x7f800000u;
    return reinterpret_cast<Vector>(reinterpret_cast<Words>(scaled) | no_number | (half & 0x8000u) << 16);
  }
};

// R rows times one panel of a group that takes `stride` bytes a unit.
template <typename Weights, int R>
void Multiply(const std::byte* w, int64_t stride, const void* const* x_rows, int64_t k, float* tile,
              bool resume) {
  Vector acc[R][kVectors];
  const float* x[R];
#pragma GCC unroll 2
  for (int r = 0; r < R; ++r) {
    x[r] = static_cast<const float*>(x_rows[r]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      acc[r][v] = resume ? LoadAs<Vector>(tile + r * kTileStride + 4 * v) : Vector{};
  }
  const auto add = [&](int64_t i, int element) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vector weights = Weights::Load(w, element, v);
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) acc[r][v] += Set(x[r][i]) * weights;
    }
  };
  int64_t i = 0;
  for (; i + Weights::kUnit <= k; i += Weights::kUnit, w += stride) {
#pragma GCC unroll 2
    for (int element = 0; element < Weights::kUnit; ++element) add(i + element, element);
  }
  if (i < k) add(i, 0);  // an odd k leaves half a unit; x ends before its other half
#pragma GCC unroll 2
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<Vector*>(tile + r * kTileStride + 4 * v) = acc[r][v];
  }
}

template <typename Weights>
struct Tile {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    constexpr int64_t kStride = P * Weights::kPanelBytes;
    for (int p = 0; p < P; ++p) {
      const std::byte* w = args.w + p * Weights::kPanelBytes;
      float* tile = args.tile + p * kPanelColumns;
      int r = 0;
      for (; r + 2 <= R; r += 2) {
        Multiply<Weights, 2>(w, kStride, args.x + r, args.k, tile + r * kTileStride, args.resume);
      }
      if (r < R) Multiply<Weights, 1>(w, kStride, args.x + r, args.k, tile + r * kTileStride, args.resume);
    }
  }
};

MicroKernels Make() {
  MicroKernels kernels{};
  kernels.isa = Isa::kPortable;
  kernels.piece_bytes = 16 << 10;
  FillTiles<Tile<WeightsBF16>, 2>(WeightFormat::kBF16, kernels);
  FillTiles<Tile<WeightsF32>, 2>(WeightFormat::kF32, kernels);
  FillTiles<Tile<WeightsF16>, 2>(WeightFormat::kF16, kernels);
  AddPortableIntegerTiles(kernels);
  return kernels;
}

}  // namespace

const MicroKernels& PortableMicroKernels() {
  static const MicroKernels kernels = Make();
  return kernels;
}

}  // namespace guildhall
