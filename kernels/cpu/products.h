// Rows times a group of panels: the loop that matmul, head_matmul and expert_ffn share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/cpu/packing.h"

namespace guildhall {

// Rows of an input as the kernels of one format read them.
struct InputRows {
  const std::byte* data = nullptr;
  size_t stride = 0;  // bytes

  const void* operator[](int64_t row) const { return data + static_cast<size_t>(row) * stride; }
};

inline RowFormat RowFormatOf(const MicroKernels& kernels, WeightFormat format) {
  return kernels.row_format[static_cast<size_t>(format)];
}

// Bytes of elements [0, k) of a row, where k is a multiple of kQuantBlock or any number for the other
// formats.
constexpr size_t RowOffset(RowFormat format, int64_t k) {
  switch (format) {
    case RowFormat::kFloat:
      return static_cast<size_t>(k) * sizeof(float);
    case RowFormat::kBF16:
      return static_cast<size_t>(k) * sizeof(uint16_t);
    case RowFormat::kInt8:
      return static_cast<size_t>(k / kQuantBlock) * sizeof(RowBlock);
  }
  return 0;
}

// Bytes from row to row of `width` converted elements.
constexpr size_t RowBytes(RowFormat format, int64_t width) {
  return RowOffset(format, RoundUp(width, kQuantBlock));
}

// From place to place in Scratch::hidden: h as float or bf16, and behind it as int8.
constexpr size_t HiddenRowBytes(int64_t width) {
  const size_t bytes = RowBytes(RowFormat::kFloat, width) + RowBytes(RowFormat::kInt8, width);
  return (bytes + 63) / 64 * 64;
}

// `count` elements of a row, a zero behind an odd end (kBF16) or zeros behind the last block (kInt8). A row
// may be converted in parts that begin at multiples of kQuantBlock.
void ConvertRow(const CpuContext& context, RowFormat format, const float* x, int64_t count, std::byte* row);

// The input of a product with weights of `format`: x itself, or its rows converted into `destination`.
InputRows PrepareRows(const float* x, int64_t rows, int64_t width, int64_t stride, RowFormat format,
                      std::byte* destination, size_t destination_bytes, CpuContext& context);

// Tiles whose unfinished sums are kept while one piece of the weights passes over all of them.
inline constexpr int64_t kMaxTiles = 16;

// What a tile fetches for later while it multiplies, see TileArgs.
struct Ahead {
  const std::byte* begin;
  int64_t step;
};

// One tile alone runs a fixed stretch ahead of itself. Several over one piece of weights share out the next
// piece, so that memory has work while the later ones read from a cache.
inline Ahead AheadOf(const std::byte* w, int64_t units, int64_t unit_bytes, int64_t tile, int64_t tiles) {
  constexpr int64_t kStretchBytes = 4096;
  if (tiles == 1) return {w + kStretchBytes, unit_bytes};
  const int64_t step = RoundUp(CeilDiv(unit_bytes, tiles), 64);
  const int64_t offset = tile * units * step;
  if (offset >= units * unit_bytes) return {w, 0};  // the others have all of it
  return {w + units * unit_bytes + offset, step};
}

// Multiplies rows [begin, end) by one group. row_of(i) points to row i of the input; finish(i, rows, tile)
// takes the sums of rows [i, i + rows), kTileStride apart. Which tile a row is in, and where k is cut,
// changes no bit.
template <typename RowOf, typename Finish>
void MultiplyGroup(const MicroKernels& kernels, WeightFormat format, const PanelGroup& group, int64_t k,
                   int64_t begin, int64_t end, RowOf row_of, Finish finish) {
  const auto& functions = kernels.tile[static_cast<size_t>(format)][group.panels - 1];
  const RowFormat row_format = RowFormatOf(kernels, format);
  const int64_t unit = KUnit(format);
  const int64_t unit_bytes = group.panels * static_cast<int64_t>(UnitBytes(format));
  alignas(64) float sums[kMaxTiles][kMaxTileRows * kTileStride];
  while (begin < end) {
    const int64_t rows = std::min(end - begin, kMaxTiles * kMaxTileRows);
    const int64_t tiles = CeilDiv(rows, kMaxTileRows);
    // One tile alone reads the weights once and needs no pieces.
    const int64_t piece = tiles == 1 ? k : kernels.piece_bytes / unit_bytes * unit;
    for (int64_t from = 0; from < k; from += piece) {
      const std::byte* w = group.w + from / unit * unit_bytes;
      const int64_t count = std::min(piece, k - from);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t first = rows * t / tiles;
        const int64_t height = rows * (t + 1) / tiles - first;
        const void* x[kMaxTileRows];
        for (int64_t r = 0; r < height; ++r) {
          x[r] = static_cast<const std::byte*>(row_of(begin + first + r)) + RowOffset(row_format, from);
        }
        const Ahead ahead = AheadOf(w, CeilDiv(count, unit), unit_bytes, t, tiles);
        functions[height - 1]({.w = w,
                               .x = x,
                               .k = count,
                               .tile = sums[t],
                               .resume = from > 0,
                               .ahead = ahead.begin,
                               .ahead_step = ahead.step});
        if (from + count == k) finish(begin + first, static_cast<int>(height), sums[t]);
      }
    }
    begin += rows;
  }
}

// How a product is cut into the items of a parallel loop.
struct ItemPlan {
  int64_t block_groups;  // groups of one item
  int64_t blocks;        // of groups
  int64_t chunk_rows;    // rows of one item
  int64_t chunks;        // of rows

  int64_t items() const { return blocks * chunks; }
};

// For `groups` groups (or stretches of panels) of `group_bytes` each. Items of at least a good stretch of
// memory each, and enough of them for every thread. `products` such plans run in one loop. Rows are cut only
// where there are many of them and few groups.
ItemPlan PlanItems(int64_t groups, size_t group_bytes, int64_t rows, int64_t products, int threads);

// Bytes that HeadMatMulOp wants of Scratch::Worker() for steps within `limits`.
size_t HeadScratchBytes(const StepLimits& limits);

}  // namespace guildhall
