// The walk over the parts of a matrix that every back end packs by: panel after panel, a few rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/dtype.h"
#include "kernels/packing.h"
#include "kernels/panel.h"

namespace guildhall {

// An output column of a packed matrix is a row of a tensor, at any address. Null: zeros.
struct PackColumn {
  const std::byte* row = nullptr;  // (in) of dtype
  DType dtype = DType::kF32;
};

// Panel p of a stack and of a low-rank B has outputs kPanelColumns * p and on; of gate and up, panel 2i is
// gate's panel i and panel 2i + 1 is up's. The last of each is filled up with columns of zeros.
int64_t PanelCount(const PackShape& shape);

// Calls pack(first, columns) for all panels in ascending order, `group_panels` at a time, the last time what
// is left: columns (panels * kPanelColumns), gone after the call. Gate and up are walked by an even number.
// Errors are those of `parts.read`.
absl::Status PackPanels(
    const PackShape& shape, const PackParts& parts, int64_t group_panels,
    absl::FunctionRef<void(int64_t first_panel, std::span<const PackColumn> columns)> pack);

}  // namespace guildhall
