// Tiles of quantized weights for any CPU. One vector holds four columns: with even and odd bytes apart,
// 16-bit products of them and the row's codes are added in pairs to 32-bit sums.
#include <cmath>

#include "base/dtype.h"
#include "kernels/cpu/fill_tiles.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

using Words = int32_t __attribute__((vector_size(16)));
using Shorts = int16_t __attribute__((vector_size(16)));
using UnsignedShorts = uint16_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(16)));
constexpr int kVectors = kPanelColumns / 4;  // of one panel
constexpr int kQuads = kQuantBlock / 4;

struct Int8 {
  static constexpr int kBias = 128;
  static constexpr bool kHalves = false, kOffsets = false;
};
struct Int4 {
  static constexpr int kBias = 8;
  static constexpr bool kHalves = true, kOffsets = false;
};
struct Int4Offset {
  static constexpr int kBias = 0;
  static constexpr bool kHalves = true, kOffsets = true;
};

// A row's codes of one block: of each quad the two even ones in a word, and the two odd ones.
struct Codes {
  int32_t even[kQuads], odd[kQuads];

  explicit Codes(const int8_t* q) {
    const auto pair = [](int low, int high) { return static_cast<int32_t>((low & 0xffff) | high * 65536); };
    for (int quad = 0; quad < kQuads; ++quad, q += 4) {
      even[quad] = pair(q[0], q[2]);
      odd[quad] = pair(q[1], q[3]);
    }
  }
};

inline Shorts Broadcast(int32_t word) {
  return reinterpret_cast<Shorts>(Words{word, word, word, word});
}

// The two halves of every word, added.
inline Words AddHalves(Shorts v) {
  const auto words = reinterpret_cast<Words>(v);
  return ((words << 16) >> 16) + (words >> 16);
}

// Four columns' exact sums over a block; their codes lie `stride` bytes apart.
template <typename Format>
Words SumBlock(const std::byte* codes, int64_t stride, const Codes& x) {
  Words sum{};
  Shorts small{};  // codes of half a byte: 8 quads * 2 * 15 * 127 < 2^15
  for (int quad = 0; quad < kQuads; ++quad) {
    auto bytes = *reinterpret_cast<const Bytes*>(codes + (Format::kHalves ? quad / 2 : quad) * stride);
    if constexpr (Format::kHalves) bytes = quad % 2 == 0 ? bytes & 15 : bytes >> 4;
    const auto pairs = reinterpret_cast<UnsignedShorts>(bytes);
    const Shorts even = reinterpret_cast<Shorts>(pairs & 255) * Broadcast(x.even[quad]);
    const Shorts odd = reinterpret_cast<Shorts>(pairs >> 8) * Broadcast(x.odd[quad]);
    if constexpr (Format::kHalves) {
      small += even + odd;
    } else {
      sum += AddHalves(even) + AddHalves(odd);
    }
  }
  return Format::kHalves ? AddHalves(small) : sum;
}

// One row times one panel of one unit.
template <typename Format>
void MultiplyUnit(const std::byte* codes, int64_t stride, const uint16_t* scales, const uint16_t* offsets,
                  const RowBlock& x, const Codes& x_codes, float* tile) {
  const int32_t excess = Format::kBias * x.sum;
  alignas(16) int32_t sum[kPanelColumns];
  for (int v = 0; v < kVectors; ++v)
    *reinterpret_cast<Words*>(sum + 4 * v) = SumBlock<Format>(codes + 16 * v, stride, x_codes) - excess;
  [[maybe_unused]] const float x_sum = x.scale * static_cast<float>(x.sum);
  for (int c = 0; c < kPanelColumns; ++c) {
    const float scale = BF16ToFloat(scales[c]) * x.scale;
    tile[c] = std::fma(static_cast<float>(sum[c]), scale, tile[c]);
    if constexpr (Format::kOffsets) tile[c] = std::fma(BF16ToFloat(offsets[c]), x_sum, tile[c]);
  }
}

template <typename Format>
struct Tile {
  template <int R, int P>
  static void Run(const TileArgs& args) {
    constexpr int64_t kScaleBytes = P * kPanelColumns * 2 * (Format::kOffsets ? 2 : 1);
    constexpr int64_t kQuadBytes = P * kPanelColumns * 4;
    constexpr int64_t kUnitBytes = kScaleBytes + kQuadBytes * (Format::kHalves ? kQuads / 2 : kQuads);
    if (!args.resume) {
      for (int r = 0; r < R; ++r) {
        for (int c = 0; c < P * kPanelColumns; ++c) args.tile[r * kTileStride + c] = 0.0f;
      }
    }
    const std::byte* unit = args.w;
    for (int64_t i = 0; i * kQuantBlock < args.k; ++i, unit += kUnitBytes) {
      const auto* scales = reinterpret_cast<const uint16_t*>(unit);
      for (int r = 0; r < R; ++r) {
        const RowBlock& x = static_cast<const RowBlock*>(args.x[r])[i];
        const Codes codes(x.q);
        for (int p = 0; p < P; ++p) {
          MultiplyUnit<Format>(unit + kScaleBytes + p * kPanelColumns * 4, kQuadBytes,
                               scales + p * kPanelColumns, scales + (P + p) * kPanelColumns, x, codes,
                               args.tile + r * kTileStride + p * kPanelColumns);
        }
      }
    }
  }
};

}  // namespace

void AddPortableIntegerTiles(MicroKernels& kernels) {
  FillQuantizedTiles<Tile<Int8>>(WeightFormat::kInt8, kernels);
  FillQuantizedTiles<Tile<Int4>>(WeightFormat::kInt4, kernels);
  FillQuantizedTiles<Tile<Int4Offset>>(WeightFormat::kInt4Offset, kernels);
}

}  // namespace guildhall
