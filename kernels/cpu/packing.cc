#include "kernels/cpu/packing.h"

#include <bit>
#include <cstring>

#include "base/check.h"

namespace guildhall {
namespace {

// Elements of one column that are converted and scattered at a time: 16 columns of them fit the first-level
// cache.
constexpr int64_t kPiece = 64;

// Round to nearest, ties to even; overflow becomes infinity, a NaN stays one.
uint16_t FloatToF16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below the normal halves: adding 0.5 leaves the rounded multiple of 2^-24 in the low bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

// Elements [begin, begin + count) of a row as `dtype`, two or four bytes each.
void CopyPiece(const TensorView& tensor, int64_t row, int64_t begin, int64_t count, DType dtype,
               void* piece) {
  const int64_t in = tensor.shape[1];
  const int64_t first = row * in + begin;
  if (tensor.dtype == dtype) {
    const size_t size = DTypeSize(dtype);
    std::memcpy(piece, tensor.data + static_cast<size_t>(first) * size, static_cast<size_t>(count) * size);
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    const float value = LoadElement(tensor.data, tensor.dtype, first + i);
    if (dtype == DType::kF32) static_cast<float*>(piece)[i] = value;
    if (dtype == DType::kBF16) static_cast<uint16_t*>(piece)[i] = FloatToBF16(value);
    if (dtype == DType::kF16) static_cast<uint16_t*>(piece)[i] = FloatToF16(value);
  }
}

// Spreads `units` whole units of one column; Word holds one unit.
template <typename Word>
void Scatter(const void* piece, int64_t units, std::byte* destination, size_t unit_stride) {
  const auto* words = static_cast<const std::byte*>(piece);
  for (int64_t u = 0; u < units; ++u) {
    std::memcpy(destination + static_cast<size_t>(u) * unit_stride,
                words + static_cast<size_t>(u) * sizeof(Word), sizeof(Word));
  }
}

// A column of the packed matrix is a row of one of the tensors, or nothing.
struct Column {
  const TensorView* tensor = nullptr;
  int64_t row = 0;
};

// Packs the 16 columns of one panel; units of the panel are `unit_stride` bytes apart.
void PackPanel(const Column (&columns)[kPanelColumns], int64_t in, WeightFormat format, std::byte* panel,
               size_t unit_stride) {
  GH_CHECK(!IsQuantized(format));
  const DType dtype = DTypeOf(format);
  const int64_t unit = KUnit(format);
  const size_t unit_bytes = static_cast<size_t>(unit) * DTypeSize(dtype);
  alignas(64) std::byte piece[kPiece * sizeof(float)];
  for (int64_t begin = 0; begin < in; begin += kPiece) {
    const int64_t count = std::min(kPiece, in - begin);
    const int64_t units = CeilDiv(count, unit);
    for (size_t c = 0; c < kPanelColumns; ++c) {
      std::memset(piece, 0, sizeof(piece));
      if (columns[c].tensor != nullptr)
        CopyPiece(*columns[c].tensor, columns[c].row, begin, count, dtype, piece);
      std::byte* destination = panel + static_cast<size_t>(begin / unit) * unit_stride + c * unit_bytes;
      if (unit_bytes == 4) {
        Scatter<uint32_t>(piece, units, destination, unit_stride);
      } else {
        Scatter<uint16_t>(piece, units, destination, unit_stride);
      }
    }
  }
}

// Packs `panels` panels; column_of(panel, c) tells what stands in them.
template <typename ColumnOf>
void PackPanels(int64_t panels, int64_t in, WeightFormat format, int group_panels, std::byte* destination,
                ColumnOf column_of) {
  const size_t panel_bytes = PanelBytes(format, in);
  const size_t unit_bytes = UnitBytes(format);
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel / group_panels * group_panels;
    const auto group_size = static_cast<size_t>(std::min<int64_t>(group_panels, panels - first));
    Column columns[kPanelColumns];
    for (int c = 0; c < kPanelColumns; ++c) columns[c] = column_of(panel, c);
    PackPanel(columns, in, format,
              destination + static_cast<size_t>(first) * panel_bytes +
                  static_cast<size_t>(panel - first) * unit_bytes,
              group_size * unit_bytes);
  }
}

void CheckPart(const TensorView& part, int64_t in) {
  GH_CHECK_EQ(part.shape.size(), size_t{2});
  GH_CHECK_EQ(part.shape[1], in);
  GH_CHECK(part.data != nullptr);
}

}  // namespace

Matrix PackMatrix(std::span<const TensorView> parts, WeightFormat format, int group_panels,
                  std::byte* destination) {
  GH_CHECK(!parts.empty());
  GH_CHECK_EQ(parts[0].shape.size(), size_t{2});
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % 64, uintptr_t{0});
  const int64_t in = parts[0].shape[1];
  int64_t out = 0;
  for (const TensorView& part : parts) {
    CheckPart(part, in);
    out += part.shape[0];
  }
  PackPanels(CeilDiv(out, kPanelColumns), in, format, group_panels, destination, [&](int64_t panel, int c) {
    int64_t row = panel * kPanelColumns + c;
    for (const TensorView& part : parts) {
      if (row < part.shape[0]) return Column{&part, row};
      row -= part.shape[0];
    }
    return Column{};
  });
  return {out, in, format, destination};
}

Matrix PackGateUpMatrix(const TensorView& gate, const TensorView& up, WeightFormat format, int group_panels,
                        std::byte* destination) {
  GH_CHECK_EQ(gate.shape.size(), size_t{2});
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % 64, uintptr_t{0});
  const int64_t width = gate.shape[0];
  const int64_t in = gate.shape[1];
  CheckPart(gate, in);
  CheckPart(up, in);
  GH_CHECK_EQ(up.shape[0], width);
  PackPanels(2 * CeilDiv(width, kPanelColumns), in, format, group_panels, destination,
             [&](int64_t panel, int c) {
               const int64_t row = panel / 2 * kPanelColumns + c;
               return row < width ? Column{panel % 2 == 0 ? &gate : &up, row} : Column{};
             });
  return {2 * width, in, format, destination};
}

}  // namespace guildhall
