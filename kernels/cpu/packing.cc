#include "kernels/cpu/packing.h"

#include "base/align.h"
#include "base/check.h"
#include "kernels/cpu/pack_group.h"

namespace guildhall {

absl::Status PackMatrix(const PackParts& parts, const PackShape& shape, const MicroKernels& kernels,
                        std::byte* destination) {
  GH_CHECK_EQ(reinterpret_cast<uintptr_t>(destination) % kAlignment, uintptr_t{0});
  const int64_t group_panels = kernels.group_panels[static_cast<size_t>(shape.format)];
  const auto pack = [&](int64_t first, std::span<const PackColumn> columns) {
    const auto panels = static_cast<int>(columns.size() / kPanelColumns);
    std::byte* const to = destination + static_cast<size_t>(first) * PanelBytes(shape.format, shape.in);
    PackPanelGroup({columns.data(), panels, shape.in, shape.format, to}, kernels.isa);
  };
  return PackPanels(shape, parts, group_panels, pack);
}

}  // namespace guildhall
