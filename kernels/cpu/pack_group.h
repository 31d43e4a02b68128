// Brings the rows of a few panels into the layout of packed matrices (kernels/cpu/packing.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/pack_panels.h"
#include "kernels/weight_format.h"

namespace guildhall {

struct PackGroup {
  const PackColumn* columns = nullptr;  // (panels * kPanelColumns)
  int panels = 0;                       // at most kMaxGroupPanels
  int64_t in = 0;
  WeightFormat format = WeightFormat::kF32;
  std::byte* to = nullptr;    // panels * PanelBytes(format, in), all written
  bool single_units = false;  // of kF32 and kBF16: a unit is one element, as in the B of a low-rank change
};
// The same bytes at every level.
void PackPanelGroup(const PackGroup& group, Isa isa);

}  // namespace guildhall
