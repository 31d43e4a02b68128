// Tiles of quantized weights for any CPU. One vector holds four columns: with even and odd bytes apart,
// 16-bit products of them and the row's codes are added in pairs to 32-bit sums.
#include <cmath>
#include <utility>

#include "base/dtype.h"
#include "kernels/cpu/micro_kernels.h"

namespace guildhall {
namespace {

using Words = int32_t __attribute__((vector_size(16)));
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

// Four columns' elements `quad` of a unit's codes.
template <typename Format>
Words LoadQuad(const std::byte* codes, int64_t quad_stride, int quad, int v) {
  const std::byte* p = codes + (Format::kHalves ? quad / 2 : quad) * quad_stride + 16 * v;
  auto bytes = *reinterpret_cast<const Bytes*>(p);
  if constexpr (Format::kHalves) bytes = quad % 2 == 0 ? bytes & 15 : bytes >> 4;
  return reinterpret_cast<Words>(bytes);
}

// One row times one panel of one unit.
template <typename Format>
void MultiplyUnit(const std::byte* codes, int64_t quad_stride, const uint16_t* scales,
                  const uint16_t* offsets, const RowBlock& x, float* tile) {
  const int32_t start = -Format::kBias * x.sum;
  Words sum[kVectors];
  for (Words& s : sum) s = Words{start, start, start, start};
  for (int quad = 0; quad < kQuads; ++quad) {
    const int8_t* q = x.q + 4 * quad;
    for (int v = 0; v < kVectors; ++v) {
      const Words w = LoadQuad<Format>(codes, quad_stride, quad, v);
      sum[v] +=
          (w & 255) * q[0] + ((w >> 8) & 255) * q[1] + ((w >> 16) & 255) * q[2] + ((w >> 24) & 255) * q[3];
    }
  }
  [[maybe_unused]] const float x_sum = x.scale * static_cast<float>(x.sum);
  for (int c = 0; c < kPanelColumns; ++c) {
    const float scale = BF16ToFloat(scales[c]) * x.scale;
    tile[c] = std::fma(static_cast<float>(sum[c / 4][c % 4]), scale, tile[c]);
    if constexpr (Format::kOffsets) tile[c] = std::fma(BF16ToFloat(offsets[c]), x_sum, tile[c]);
  }
}

template <typename Format, int R, int P>
void Run(const TileArgs& args) {
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
    for (int p = 0; p < P; ++p) {
      for (int r = 0; r < R; ++r) {
        MultiplyUnit<Format>(unit + kScaleBytes + p * kPanelColumns * 4, kQuadBytes,
                             scales + p * kPanelColumns, scales + (P + p) * kPanelColumns,
                             static_cast<const RowBlock*>(args.x[r])[i],
                             args.tile + r * kTileStride + p * kPanelColumns);
      }
    }
  }
}

template <typename Format, int P, int... R>
void FillPanels(TileFunction* rows, std::integer_sequence<int, R...>) {
  ((rows[R] = Run<Format, R + 1, P>), ...);
}

template <typename Format>
void Fill(WeightFormat format, MicroKernels& kernels) {
  const auto index = static_cast<size_t>(format);
  kernels.group_panels[index] = kQuantizedGroupPanels;
  kernels.row_format[index] = RowFormat::kInt8;
  FillPanels<Format, 1>(kernels.tile[index][0], std::make_integer_sequence<int, kMaxTileRows>());
  FillPanels<Format, 2>(kernels.tile[index][1], std::make_integer_sequence<int, kMaxTileRows>());
}

}  // namespace

void AddPortableIntegerTiles(MicroKernels& kernels) {
  Fill<Int8>(WeightFormat::kInt8, kernels);
  Fill<Int4>(WeightFormat::kInt4, kernels);
  Fill<Int4Offset>(WeightFormat::kInt4Offset, kernels);
}

}  // namespace guildhall
