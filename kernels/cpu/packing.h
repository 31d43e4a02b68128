// The layout of packed matrices.
//
// Output columns go in panels of 16, the last one filled up with zeros; panels go in groups of `group_panels`
// of the level, the last group may be smaller. Inside a group the panels alternate from k unit to k unit, so
// that a product of one row reads one ascending stream. A unit is one element of k for F32 and F16 and a pair
// for BF16 (an odd end is filled up with zero); of each column its unit's elements are neighbours:
//
//   group: [unit][panel][column of 16][element of the unit]
//
// Of the quantized formats a unit is a block of kQuantBlock elements, and its scales stand before its codes:
//
//   unit: [panel][16 bf16 scales] [panel][16 bf16 offsets: kInt4Offset only] [quad][panel][column][4 bytes]
//
// A byte of kInt8 is q + 128, of one of the 8 quads along k. A byte of the others holds two codes, the lower
// half one of quad 2i and the upper half the same place's of quad 2i + 1; kInt4 stores q + 8, kInt4Offset q.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/matrix.h"
#include "kernels/packing.h"

namespace guildhall {

// Elements of k that stand together.
constexpr int64_t KUnit(WeightFormat format) {
  return format == WeightFormat::kBF16 ? 2 : (IsQuantized(format) ? kQuantBlock : 1);
}

// Bytes of one unit of one panel.
constexpr size_t UnitBytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32:
    case WeightFormat::kBF16:
      return kPanelColumns * 4;
    case WeightFormat::kF16:
      return kPanelColumns * 2;
    case WeightFormat::kInt8:
      return kPanelColumns * (kQuantBlock + 2);
    case WeightFormat::kInt4:
      return kPanelColumns * (kQuantBlock / 2 + 2);
    case WeightFormat::kInt4Offset:
      return kPanelColumns * (kQuantBlock / 2 + 4);
  }
  return 0;
}

constexpr int64_t CeilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
constexpr int64_t RoundUp(int64_t a, int64_t b) {
  return CeilDiv(a, b) * b;
}

// Bytes of one panel.
constexpr size_t PanelBytes(WeightFormat format, int64_t in) {
  return static_cast<size_t>(CeilDiv(in, KUnit(format))) * UnitBytes(format);
}

constexpr size_t PackedMatrixBytes(WeightFormat format, int64_t out, int64_t in) {
  return static_cast<size_t>(CeilDiv(out, kPanelColumns)) * PanelBytes(format, in);
}

// Gate and up, each with its own last panel: panel 2i is gate's panel i, panel 2i + 1 is up's.
constexpr size_t PackedGateUpMatrixBytes(WeightFormat format, int64_t width, int64_t in) {
  return 2 * PackedMatrixBytes(format, width, in);
}

// One group of a packed matrix.
struct PanelGroup {
  const std::byte* w;
  int panels;
  int64_t first_panel;
};

// Walks a packed matrix by groups.
class PanelGroups {
 public:
  PanelGroups(const Matrix& matrix, int64_t panels, const MicroKernels& kernels)
      : data_(matrix.data),
        panels_(panels),
        group_panels_(kernels.group_panels[static_cast<size_t>(matrix.format)]),
        panel_bytes_(PanelBytes(matrix.format, matrix.in)) {}

  int64_t count() const { return CeilDiv(panels_, group_panels_); }
  int group_panels() const { return group_panels_; }
  size_t GroupBytes() const { return panel_bytes_ * static_cast<size_t>(group_panels_); }
  PanelGroup operator[](int64_t group) const {
    const int64_t first = group * group_panels_;
    return {data_ + static_cast<size_t>(first) * panel_bytes_,
            static_cast<int>(std::min<int64_t>(group_panels_, panels_ - first)), first};
  }

 private:
  const std::byte* data_;
  int64_t panels_;
  int group_panels_;
  size_t panel_bytes_;
};

// Backend::PackFrom of a stack and of gate and up, for a level. A block of a quantized matrix that holds a
// NaN or an infinity gets the scale NaN.
absl::Status PackMatrix(const PackParts& parts, const PackShape& shape, const MicroKernels& kernels,
                        std::byte* destination);

}  // namespace guildhall
