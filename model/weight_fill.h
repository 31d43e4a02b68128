// How packed weights are made from a source's tensors.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/weight_source.h"
#include "kernels/backend.h"
#include "model/weight_plan.h"

namespace guildhall {

// Each writes its packed bytes at `place`. Errors are those of the source's reads.

// Matrices stacked by rows.
absl::Status FillStack(const WeightSource& source, const Backend& backend, std::span<const WeightKey> keys,
                       WeightFormat format, std::byte* place, WeightScratch& scratch);

// Gate and up, for the fused product.
absl::Status FillGateUp(const WeightSource& source, const Backend& backend, WeightKey gate, WeightKey up,
                        WeightFormat format, std::byte* place, WeightScratch& scratch);

// Float vectors end to end; one that the source lacks gives zeros (a bias that only some parts have).
absl::Status FillVectors(const WeightSource& source, std::span<const WeightKey> keys,
                         std::span<const int64_t> sizes, float* place, WeightScratch& scratch);

// Rows as they are.
absl::Status FillRows(const WeightSource& source, WeightKey key, size_t bytes, std::byte* place,
                      WeightScratch& scratch);

// kv_b (heads * (nope + v), rank) cut by head: all key parts, transposed, `k_stride` bytes apart, then all
// value parts, `v_stride` bytes apart.
absl::Status FillHeads(const WeightSource& source, const Backend& backend, WeightKey kv_b,
                       WeightFormat format, size_t k_stride, size_t v_stride, std::byte* place,
                       WeightScratch& scratch);

}  // namespace guildhall
