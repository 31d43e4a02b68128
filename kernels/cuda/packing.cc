#include "kernels/cuda/packing.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/check.h"
#include "base/convert.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/pack_panels.h"
#include "kernels/quantize.h"

namespace guildhall::cuda {
namespace {

static_assert(kFragmentOutputs == kPanelColumns);

// The outputs of one panel, as a span of this many columns.
using Columns = std::span<const PackColumn, kPanelColumns>;

TileLayout LayoutOf(const PackShape& shape) {
  const int parts = shape.kind == PackShape::Kind::kGateUp ? 2 : 1;
  return {shape.format, parts, shape.out / parts, shape.in};
}

// Elements [begin, begin + count) of a column as `dtype`; zeros up to `size` elements.
void LoadColumn(const PackColumn& column, int64_t begin, int64_t count, int64_t size, DType dtype,
                std::byte* to) {
  if (column.row == nullptr) count = 0;
  if (count > 0) {
    const std::byte* from = column.row + static_cast<size_t>(begin) * DTypeSize(column.dtype);
    ConvertElements(from, column.dtype, count, dtype, to);
  }
  std::memset(to + static_cast<size_t>(count) * DTypeSize(dtype), 0,
              static_cast<size_t>(size - count) * DTypeSize(dtype));
}

// A panel's part of one tile, which begins at output `output` of the strip.
struct TilePart {
  Columns columns;
  int64_t begin, count;  // neighbours along k
  int output, outputs;   // of the tile's outputs
  WeightFormat format;
  std::byte* tile;
};

void PackFloats(const TilePart& part) {
  constexpr int kK = TileK(WeightFormat::kF32);
  float values[kPanelColumns][kK];
  for (size_t c = 0; c < kPanelColumns; ++c) {
    LoadColumn(part.columns[c], part.begin, part.count, kK, DType::kF32,
               reinterpret_cast<std::byte*>(values[c]));
  }
  for (int k = 0; k < kK; ++k) {
    float line[kPanelColumns];
    for (int c = 0; c < kPanelColumns; ++c) line[c] = values[c][k];
    std::memcpy(part.tile + PlaceOfF32(part.outputs, part.output, k), line, sizeof(line));
  }
}

void PackHalves(const TilePart& part) {
  constexpr int kK = TileK(WeightFormat::kBF16);
  constexpr int kChunkBytes = 16;
  for (int c = 0; c < kPanelColumns; ++c) {
    std::byte row[kK * sizeof(uint16_t)];
    LoadColumn(part.columns[static_cast<size_t>(c)], part.begin, part.count, kK, DTypeOf(part.format), row);
    for (int chunk = 0; chunk < static_cast<int>(sizeof(row)) / kChunkBytes; ++chunk) {
      std::memcpy(part.tile + PlaceOfChunk(part.output + c, chunk), row + chunk * kChunkBytes, kChunkBytes);
    }
  }
}

void StoreWord(uint32_t word, std::byte* to) {
  std::memcpy(to, &word, sizeof(word));
}

// The codes of block `block` of a tile. `half` is one of the eight outputs that have lanes of their own: its
// codes and those of the output eight behind it share words.
void StoreInt8(const PanelBlock& codes, const TilePart& part, int block) {
  constexpr uint32_t kToSigned = 0x80808080u;  // takes the bias of 128 away
  for (int half = 0; half < kPanelColumns / 2; ++half) {
    for (int k = 0; k < kQuantBlock; k += 2) {
      const uint8_t* const even = codes.code[k] + half;
      const uint8_t* const odd = codes.code[k + 1] + half;
      const uint32_t word =
          static_cast<uint32_t>(even[0] | even[8] << 8 | odd[0] << 16) | static_cast<uint32_t>(odd[8]) << 24;
      StoreWord(word ^ kToSigned,
                part.tile + PlaceOfInt8(part.output + half, block * static_cast<int>(kQuantBlock) + k));
    }
  }
}

void StoreInt4(const PanelBlock& codes, const TilePart& part, int block) {
  const auto byte_of = [&](int half, int k) {
    return static_cast<uint32_t>(codes.code[k][half] | codes.code[k][half + 8] << 4);
  };
  for (int half = 0; half < kPanelColumns / 2; ++half) {
    for (int k16 = 0; k16 < kQuantBlock; k16 += 16) {
      for (int k = k16; k < k16 + 8; k += 2) {
        const uint32_t word = byte_of(half, k) | byte_of(half, k + 8) << 8 | byte_of(half, k + 1) << 16 |
                              byte_of(half, k + 9) << 24;
        StoreWord(word,
                  part.tile + PlaceOfInt4(part.output + half, block * static_cast<int>(kQuantBlock) + k));
      }
    }
  }
}

void StoreBlock(const PanelBlock& codes, const TilePart& part, int block) {
  if (part.format == WeightFormat::kInt8) {
    StoreInt8(codes, part, block);
  } else {
    StoreInt4(codes, part, block);
  }
  for (int c = 0; c < kPanelColumns; ++c) {
    const int output = part.output + c;
    std::memcpy(part.tile + PlaceOfScale(part.format, part.outputs, output, block), codes.scale + c,
                sizeof(uint16_t));
    if (part.format != WeightFormat::kInt4Offset) continue;
    std::memcpy(part.tile + PlaceOfOffset(part.outputs, output, block), codes.offset + c, sizeof(uint16_t));
  }
}

void PackQuantized(const TilePart& part) {
  constexpr int kK = TileK(WeightFormat::kInt8);
  float values[kPanelColumns][kK];
  for (size_t c = 0; c < kPanelColumns; ++c) {
    LoadColumn(part.columns[c], part.begin, part.count, kK, DType::kF32,
               reinterpret_cast<std::byte*>(values[c]));
  }
  alignas(64) float w[kQuantBlock][kPanelColumns];
  for (int block = 0; block < kK / kQuantBlock; ++block) {
    const int first = block * static_cast<int>(kQuantBlock);
    for (int k = 0; k < kQuantBlock; ++k) {
      for (int c = 0; c < kPanelColumns; ++c) w[k][c] = values[c][first + k];
    }
    // A block behind the end is one of zeros.
    const int64_t left = part.count - first;
    PanelBlock codes;
    QuantizePanelBlock(w[0], left <= 0 ? kQuantBlock : std::min(left, kQuantBlock), part.format, codes);
    StoreBlock(codes, part, block);
  }
}

// All tiles of one panel.
void PackPanel(const TileLayout& layout, int64_t panel, Columns columns, std::byte* to) {
  const int64_t first_output = panel / layout.parts * kPanelColumns;
  const int64_t strip = first_output / kStripOutputs;
  const int k = TileK(layout.format);
  for (int64_t tile = 0; tile < layout.tiles(); ++tile) {
    const TilePart part{.columns = columns,
                        .begin = tile * k,
                        .count = std::min<int64_t>(k, layout.in - tile * k),
                        .output = static_cast<int>(first_output % kStripOutputs),
                        .outputs = layout.StripOutputs(strip),
                        .format = layout.format,
                        .tile = to + layout.TileOffset(strip, tile, static_cast<int>(panel % layout.parts))};
    if (HasBlocks(layout.format)) {
      PackQuantized(part);
    } else if (layout.format == WeightFormat::kF32) {
      PackFloats(part);
    } else {
      PackHalves(part);
    }
  }
}

// Columns [first, first + columns.size()) of B, of which shape.out are there.
void PackLowRankB(const PackShape& shape, int64_t first, Columns columns, std::byte* to) {
  const DType dtype = DTypeOf(shape.format);
  const size_t size = DTypeSize(dtype);
  const int64_t end = std::min<int64_t>(kPanelColumns, shape.out - first);
  for (int64_t c = 0; c < end; ++c) {
    const PackColumn& column = columns[static_cast<size_t>(c)];
    for (int64_t r = 0; r < shape.in; ++r) {
      ConvertElements(column.row + static_cast<size_t>(r) * DTypeSize(column.dtype), column.dtype, 1, dtype,
                      to + static_cast<size_t>(PlaceInB(shape.out, first + c, r)) * size);
    }
  }
}

}  // namespace

size_t PackedBytesOf(const PackShape& shape) {
  if (shape.kind != PackShape::Kind::kLowRankB) return LayoutOf(shape).bytes();
  return LowRankBBytes(shape.out, shape.in, DTypeSize(DTypeOf(shape.format)));
}

absl::Status PackWeights(const PackShape& shape, const PackParts& parts, std::byte* to) {
  const TileLayout layout = LayoutOf(shape);
  const bool low_rank = shape.kind == PackShape::Kind::kLowRankB;
  if (low_rank) GH_CHECK(!IsQuantized(shape.format));
  return PackPanels(shape, parts, layout.parts, [&](int64_t panel, std::span<const PackColumn> columns) {
    for (; !columns.empty(); columns = columns.subspan(kPanelColumns), ++panel) {
      if (low_rank) {
        PackLowRankB(shape, panel * kPanelColumns, columns.first<kPanelColumns>(), to);
      } else {
        PackPanel(layout, panel, columns.first<kPanelColumns>(), to);
      }
    }
  });
}

}  // namespace guildhall::cuda
