#include "kernels/cpu/packing.h"

#include "base/check.h"
#include "kernels/cpu/pack_group.h"

namespace guildhall {
namespace {

// Packs `panels` panels; column_of(panel, c) tells what stands in them.
template <typename ColumnOf>
void PackPanels(int64_t panels, const PackShape& shape, const MicroKernels& kernels, std::byte* destination,
                ColumnOf column_of) {
  const int64_t group_panels = kernels.group_panels[static_cast<size_t>(shape.format)];
  PackColumn columns[kMaxGroupPanels * kPanelColumns];
  for (int64_t first = 0; first < panels; first += group_panels) {
    const int64_t count = std::min(group_panels, panels - first);
    for (int64_t panel = 0; panel < count; ++panel) {
      for (int c = 0; c < kPanelColumns; ++c) columns[panel * kPanelColumns + c] = column_of(first + panel, c);
    }
    std::byte* const to = destination + static_cast<size_t>(first) * PanelBytes(shape.format, shape.in);
    PackPanelGroup({columns, static_cast<int>(count), shape.in, shape.format, to}, kernels.isa);
  }
}

PackColumn ColumnOf(const TensorView& part, int64_t row) {
  const size_t bytes = static_cast<size_t>(part.shape[1]) * DTypeSize(part.dtype);
  return {part.data + static_cast<size_t>(row) * bytes, part.dtype};
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
  PackPanels(CeilDiv(out, kPanelColumns), shape, kernels, destination, [&](int64_t panel, int c) {
    int64_t row = panel * kPanelColumns + c;
    for (const TensorView& part : parts) {
      if (row < part.shape[0]) return ColumnOf(part, row);
      row -= part.shape[0];
    }
    return PackColumn{};
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
  PackPanels(2 * CeilDiv(width, kPanelColumns), shape, kernels, destination, [&](int64_t panel, int c) {
    const int64_t row = panel / 2 * kPanelColumns + c;
    return row < width ? ColumnOf(panel % 2 == 0 ? gate : up, row) : PackColumn{};
  });
}

}  // namespace guildhall
