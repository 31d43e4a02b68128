// How packed weights are made from a source's tensors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "weights/pack_tensors.h"
#include "weights/product_layout.h"

namespace guildhall {

// Each writes its packed bytes at `place`. Errors are those of the source's reads.

// The parts of a packed shape, read by rows.
absl::Status FillPacked(const WeightSource& source, const Backend& backend, const PackShape& shape,
                        std::span<const WeightPart> parts, std::byte* place, PackScratch& scratch);

// Float vectors end to end; one that the source lacks gives zeros (a bias that only some parts have).
absl::Status FillVectors(const WeightSource& source, std::span<const WeightKey> keys,
                         std::span<const int64_t> sizes, float* place, PackScratch& scratch);

// The rows of a matrix as they are, in the source's own dtype.
absl::Status FillRows(const WeightSource& source, WeightKey key, WeightShape shape, std::byte* place,
                      PackScratch& scratch);

// kv_b (heads * (nope + v), rank) cut by head: all key parts, transposed, `k_stride` bytes apart, then all
// value parts, `v_stride` bytes apart.
absl::Status FillHeads(const WeightSource& source, const Backend& backend, WeightKey kv_b,
                       WeightFormat format, size_t k_stride, size_t v_stride, std::byte* place,
                       PackScratch& scratch);

}  // namespace guildhall
