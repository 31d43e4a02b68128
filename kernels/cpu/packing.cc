#include "kernels/cpu/packing.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/quantize.h"

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

// Elements [begin, begin + count) of a column, widened, into a column of `block`.
void WidenColumn(const Column& column, int64_t begin, int64_t count, float* block) {
  const TensorView& tensor = *column.tensor;
  const int64_t first = column.row * tensor.shape[1] + begin;
  const std::byte* from = tensor.data + static_cast<size_t>(first) * DTypeSize(tensor.dtype);
  float piece[kQuantBlock];
  if (tensor.dtype == DType::kF32) {
    std::memcpy(piece, from, static_cast<size_t>(count) * sizeof(float));
  } else {
    uint16_t halves[kQuantBlock];
    std::memcpy(halves, from, static_cast<size_t>(count) * sizeof(uint16_t));
    const bool bf16 = tensor.dtype == DType::kBF16;
    for (int64_t i = 0; i < count; ++i) piece[i] = bf16 ? BF16ToFloat(halves[i]) : F16ToFloat(halves[i]);
  }
  for (int64_t i = 0; i < count; ++i) block[i * kPanelColumns] = piece[i];
}

// Writes one panel's part of a unit of a group of `group_size` panels.
void StoreBlock(const PanelBlock& block, WeightFormat format, size_t panel, size_t group_size,
                std::byte* unit) {
  constexpr size_t kScaleBytes = kPanelColumns * sizeof(uint16_t);
  std::memcpy(unit + panel * kScaleBytes, block.scale, kScaleBytes);
  unit += group_size * kScaleBytes;
  if (format == WeightFormat::kInt4Offset) {
    std::memcpy(unit + panel * kScaleBytes, block.offset, kScaleBytes);
    unit += group_size * kScaleBytes;
  }
  const bool halves = format != WeightFormat::kInt8;
  for (int64_t k = 0; k < kQuantBlock; ++k) {
    const auto quad = static_cast<size_t>(halves ? k / 8 : k / 4);
    const bool upper = halves && k % 8 >= 4;
    for (size_t c = 0; c < kPanelColumns; ++c) {
      std::byte& place =
          unit[((quad * group_size + panel) * kPanelColumns + c) * 4 + static_cast<size_t>(k % 4)];
      const std::byte code{block.code[k][c]};
      place = upper ? place | code << 4 : code;
    }
  }
}

// Panel `panel` of a group of `group_size`.
void PackQuantizedPanel(const Column (&columns)[kPanelColumns], int64_t in, WeightFormat format, Isa isa,
                        size_t panel, size_t group_size, std::byte* group) {
  alignas(64) float w[kQuantBlock * kPanelColumns] = {};
  for (int64_t begin = 0; begin < in; begin += kQuantBlock, group += group_size * UnitBytes(format)) {
    const int64_t count = std::min(kQuantBlock, in - begin);
    for (size_t c = 0; c < kPanelColumns; ++c) {
      if (columns[c].tensor != nullptr) WidenColumn(columns[c], begin, count, w + c);
    }
    PanelBlock block;
    QuantizePanelBlock(w, count, format, isa, block);
    StoreBlock(block, format, panel, group_size, group);
  }
}

// Packs `panels` panels; column_of(panel, c) tells what stands in them.
template <typename ColumnOf>
void PackPanels(int64_t panels, int64_t in, WeightFormat format, const MicroKernels& kernels,
                std::byte* destination, ColumnOf column_of) {
  const size_t panel_bytes = PanelBytes(format, in);
  const size_t unit_bytes = UnitBytes(format);
  const int64_t group_panels = kernels.group_panels[static_cast<size_t>(format)];
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel / group_panels * group_panels;
    const auto group_size = static_cast<size_t>(std::min(group_panels, panels - first));
    const auto in_group = static_cast<size_t>(panel - first);
    Column columns[kPanelColumns];
    for (int c = 0; c < kPanelColumns; ++c) columns[c] = column_of(panel, c);
    std::byte* group = destination + static_cast<size_t>(first) * panel_bytes;
    if (IsQuantized(format)) {
      PackQuantizedPanel(columns, in, format, kernels.isa, in_group, group_size, group);
    } else {
      PackPanel(columns, in, format, group + in_group * unit_bytes, group_size * unit_bytes);
    }
  }
}

void CheckPart(const TensorView& part, int64_t in) {
  GH_CHECK_EQ(part.shape.size(), size_t{2});
  GH_CHECK_EQ(part.shape[1], in);
  GH_CHECK(part.data != nullptr);
}

}  // namespace

void PackStack(std::span<const TensorView> parts, const PackShape& shape, const MicroKernels& kernels,
               std::byte* destination) {
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % kPackAlignment, uintptr_t{0});
  int64_t out = 0;
  for (const TensorView& part : parts) {
    CheckPart(part, shape.in);
    out += part.shape[0];
  }
  GH_CHECK_EQ(out, shape.out);
  PackPanels(CeilDiv(out, kPanelColumns), shape.in, shape.format, kernels, destination,
             [&](int64_t panel, int c) {
               int64_t row = panel * kPanelColumns + c;
               for (const TensorView& part : parts) {
                 if (row < part.shape[0]) return Column{&part, row};
                 row -= part.shape[0];
               }
               return Column{};
             });
}

void PackGateUp(const TensorView& gate, const TensorView& up, const PackShape& shape,
                const MicroKernels& kernels, std::byte* destination) {
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % kPackAlignment, uintptr_t{0});
  const int64_t width = shape.out / 2;
  for (const TensorView* part : {&gate, &up}) {
    CheckPart(*part, shape.in);
    GH_CHECK_EQ(part->shape[0], width);
  }
  PackPanels(2 * CeilDiv(width, kPanelColumns), shape.in, shape.format, kernels, destination,
             [&](int64_t panel, int c) {
               const int64_t row = panel / 2 * kPanelColumns + c;
               return row < width ? Column{panel % 2 == 0 ? &gate : &up, row} : Column{};
             });
}

}  // namespace guildhall
