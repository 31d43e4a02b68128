// How tensors become the bytes of a packed item.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "checkpoint/weight_key.h"
#include "kernels/backend.h"
#include "weights/packed_item.h"

namespace guildhall {

// Rows [begin, end) of a weight, in `scratch` or in memory that stays.
using ReadWeightRows = std::function<absl::StatusOr<TensorView>(
    const WeightKey& key, int64_t begin, int64_t end, std::vector<std::byte>& scratch)>;

// A part of a packed shape.
struct WeightPart {
  WeightKey key;
  int64_t out = 0;
};

// Packs the parts at `place`, some rows at a time. Errors: CANCELLED, and those of `read`.
absl::Status PackTensors(const ReadWeightRows& read, const Backend& backend, const PackShape& shape,
                         std::span<const WeightPart> parts, std::byte* place, PackScratch& scratch);

// (columns, rows) of the view's own dtype, in `scratch`.
TensorView Transpose(const TensorView& view, std::vector<std::byte>& scratch);
// The same, widened or rounded to `dtype`, at `to`.
TensorView TransposeTo(const TensorView& view, DType dtype, std::byte* to);

}  // namespace guildhall
