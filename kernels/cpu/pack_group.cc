#include "kernels/cpu/pack_group.h"

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pack_group.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <algorithm>
#include <cstring>

#include "base/convert.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantize.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ---- A piece: some neighbours along k of the 16 columns of a panel, as words of 32 bits ----

constexpr int64_t kPieceWords = 64;
constexpr int64_t kPieceBytes = kPieceWords * 4;  // of a column
constexpr int64_t kChunks = kPieceWords / 4;      // of 16 bytes

// The chunks of columns c, c + 4, c + 8 and c + 12 stand side by side: a vector of any width holds whole
// ones.
struct Piece {
  alignas(64) uint32_t words[kChunks][4][4][4];  // [chunk][c % 4][c / 4][word]
};

// Elements [begin, begin + count) of a column as `dtype`, zeros behind them up to a whole chunk.
HWY_INLINE void LoadColumn(const PackColumn& column, size_t c, int64_t begin, int64_t count, DType dtype,
                           Piece& piece) {
  const std::byte* from =
      column.row == nullptr ? nullptr : column.row + static_cast<size_t>(begin) * DTypeSize(column.dtype);
  std::byte row[kPieceBytes];
  const size_t bytes = static_cast<size_t>(count) * DTypeSize(dtype);
  if (column.row == nullptr || column.dtype != dtype || bytes < kPieceBytes) {
    std::memset(row, 0, kPieceBytes);
    if (column.row != nullptr && column.dtype == dtype) std::memcpy(row, from, bytes);
    if (column.row != nullptr && column.dtype != dtype)
      ConvertElements(from, column.dtype, count, dtype, row);
    from = row;
  }
  for (size_t chunk = 0; 16 * chunk < bytes; ++chunk)
    std::memcpy(piece.words[chunk][c % 4][c / 4], from + 16 * chunk, 16);
}

HWY_INLINE void LoadPanel(const PackColumn* columns, int64_t begin, int64_t count, DType dtype,
                          Piece& piece) {
  for (size_t c = 0; c < kPanelColumns; ++c) LoadColumn(columns[c], c, begin, count, dtype, piece);
}

// Words [first, first + words) of each column, word by word: 16 columns in a line of 64 bytes at `to`, the
// next line `stride` bytes on. `first`: a multiple of 4.
#if HWY_TARGET == HWY_SCALAR
void StoreWords(const Piece& piece, int64_t first, int64_t words, std::byte* to, size_t stride) {
  for (int64_t word = first; word < first + words; ++word, to += stride) {
    const auto& chunk = piece.words[word / 4];
    for (size_t c = 0; c < kPanelColumns; ++c) std::memcpy(to + 4 * c, &chunk[c % 4][c / 4][word % 4], 4);
  }
}
#else
HWY_INLINE void StoreWords(const Piece& piece, int64_t first, int64_t words, std::byte* to, size_t stride) {
  const hn::CappedTag<uint32_t, kPanelColumns> d;
  const hn::Repartition<uint64_t, decltype(d)> pairs;
  for (int64_t word = 0; word < words; word += 4, to += 4 * stride) {
    const int64_t left = words - word;
    for (size_t column = 0; column < kPanelColumns; column += hn::Lanes(d)) {
      const uint32_t* from = piece.words[(first + word) / 4][0][column / 4];
      const auto c0 = hn::Load(d, from), c1 = hn::Load(d, from + 16);
      const auto c2 = hn::Load(d, from + 32), c3 = hn::Load(d, from + 48);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, c0, c1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, c2, c3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, c0, c1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, c2, c3));
      const auto store = [&](int64_t w, auto v) HWY_ATTR {
        auto* line = reinterpret_cast<uint32_t*>(to + static_cast<size_t>(w) * stride) + column;
        if (w < left) hn::Store(hn::BitCast(d, v), d, line);
      };
      store(0, hn::InterleaveLower(pairs, low01, low23));
      store(1, hn::InterleaveUpper(pairs, low01, low23));
      store(2, hn::InterleaveLower(pairs, high01, high23));
      store(3, hn::InterleaveUpper(pairs, high01, high23));
    }
  }
}
#endif

// The same for elements of two bytes, in lines of 32.
HWY_INLINE void StoreHalves(const Piece& piece, int64_t halves, std::byte* to, size_t stride) {
  alignas(64) uint32_t lines[kPieceWords][kPanelColumns];
  StoreWords(piece, 0, (halves + 1) / 2, reinterpret_cast<std::byte*>(lines), sizeof(lines[0]));
  const hn::CappedTag<uint32_t, kPanelColumns> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint16_t, decltype(d)> d16;
  for (int64_t half = 0; half < halves; ++half, to += stride) {
    for (size_t column = 0; column < kPanelColumns; column += hn::Lanes(d)) {
      const auto both = hn::Load(d, lines[half / 2] + column);
      const auto one = half % 2 == 0 ? hn::And(both, hn::Set(d, 0xffffu)) : hn::ShiftRight<16>(both);
      hn::StoreU(hn::DemoteTo(d16, hn::BitCast(di, one)), d16, reinterpret_cast<uint16_t*>(to) + column);
    }
  }
}

// ---- Blocks of the quantized formats ----

// Four rows of codes as 16 columns of four bytes.
using Codes = uint8_t[4][kPanelColumns];
#if HWY_TARGET == HWY_SCALAR
void StoreQuad(const Codes& codes, std::byte* to) {
  for (size_t c = 0; c < kPanelColumns; ++c) {
    for (size_t k = 0; k < 4; ++k) to[4 * c + k] = std::byte{codes[k][c]};
  }
}
#else
HWY_INLINE void StoreQuad(const Codes& codes, std::byte* to) {
  const hn::Full128<uint8_t> d;
  const hn::Full128<uint16_t> pairs;
  const auto k0 = hn::LoadU(d, codes[0]), k1 = hn::LoadU(d, codes[1]);
  const auto k2 = hn::LoadU(d, codes[2]), k3 = hn::LoadU(d, codes[3]);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, k0, k1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, k2, k3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, k0, k1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, k2, k3));
  const auto store = [&](size_t i, auto v) HWY_ATTR {
    hn::StoreU(hn::BitCast(d, v), d, reinterpret_cast<uint8_t*>(to) + 16 * i);
  };
  store(0, hn::InterleaveLower(pairs, low01, low23));
  store(1, hn::InterleaveUpper(pairs, low01, low23));
  store(2, hn::InterleaveLower(pairs, high01, high23));
  store(3, hn::InterleaveUpper(pairs, high01, high23));
}
#endif

// Writes one panel's part of a unit of a group of `panels`.
HWY_INLINE void StoreBlock(const PanelBlock& block, WeightFormat format, size_t panel, size_t panels,
                           std::byte* unit) {
  constexpr size_t kScaleBytes = kPanelColumns * sizeof(uint16_t);
  std::memcpy(unit + panel * kScaleBytes, block.scale, kScaleBytes);
  unit += panels * kScaleBytes;
  if (format == WeightFormat::kInt4Offset) {
    std::memcpy(unit + panel * kScaleBytes, block.offset, kScaleBytes);
    unit += panels * kScaleBytes;
  }
  const bool halves = format != WeightFormat::kInt8;
  const int64_t step = halves ? 8 : 4;
  Codes codes;
  for (int64_t k = 0; k < kQuantBlock; k += step) {
    std::memcpy(codes, block.code[k], sizeof(codes));
    for (int64_t i = 0; halves && i < 4; ++i) {
      for (int c = 0; c < kPanelColumns; ++c)
        codes[i][c] = static_cast<uint8_t>(codes[i][c] | block.code[k + 4 + i][c] << 4);
    }
    StoreQuad(codes, unit + (static_cast<size_t>(k / step) * panels + panel) * kPanelColumns * 4);
  }
}

// ---- Groups: all panels of a piece before the next piece, so that what is written ascends ----

void PackQuantized(const PackGroup& group, Isa isa) {
  constexpr int64_t kBlocks = kPieceWords / kQuantBlock;
  const auto panels = static_cast<size_t>(group.panels);
  const size_t unit_bytes = panels * UnitBytes(group.format);
  Piece piece;
  alignas(64) float w[kQuantBlock * kPanelColumns];
  std::byte* units = group.to;
  for (int64_t begin = 0; begin < group.in; begin += kPieceWords, units += kBlocks * unit_bytes) {
    const int64_t count = std::min(kPieceWords, group.in - begin);
    for (size_t panel = 0; panel < panels; ++panel) {
      LoadPanel(group.columns + panel * kPanelColumns, begin, count, DType::kF32, piece);
      for (int64_t b = 0; b * kQuantBlock < count; ++b) {
        StoreWords(piece, b * kQuantBlock, kQuantBlock, reinterpret_cast<std::byte*>(w),
                   kPanelColumns * sizeof(float));
        PanelBlock block;
        QuantizePanelBlock(w, std::min(kQuantBlock, count - b * kQuantBlock), group.format, isa, block);
        StoreBlock(block, group.format, panel, panels, units + static_cast<size_t>(b) * unit_bytes);
      }
    }
  }
}

void PackGroupImpl(const PackGroup& group, Isa isa) {
  if (IsQuantized(group.format)) return PackQuantized(group, isa);
  const DType dtype = DTypeOf(group.format);
  const int64_t unit = group.single_units ? 1 : KUnit(group.format);
  const size_t panel_bytes = kPanelColumns * static_cast<size_t>(unit) * DTypeSize(dtype);
  const size_t stride = static_cast<size_t>(group.panels) * panel_bytes;
  const int64_t elements = kPieceBytes / static_cast<int64_t>(DTypeSize(dtype));
  Piece piece;
  for (int64_t begin = 0; begin < group.in; begin += elements) {
    const int64_t count = std::min(elements, group.in - begin), units = CeilDiv(count, unit);
    std::byte* to = group.to + static_cast<size_t>(begin / unit) * stride;
    for (int panel = 0; panel < group.panels; ++panel, to += panel_bytes) {
      LoadPanel(group.columns + panel * kPanelColumns, begin, count, dtype, piece);
      if (panel_bytes == kPanelColumns * sizeof(uint16_t)) {
        StoreHalves(piece, units, to, stride);
      } else {
        StoreWords(piece, 0, units, to, stride);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(PackGroupImpl);

void PackPanelGroup(const PackGroup& group, Isa isa) {
  GH_SIMD(PackGroupImpl, isa)(group, isa);
}

}  // namespace guildhall
#endif  // HWY_ONCE
