// The unit of work of AttentionOp: some neighbouring rows of one sequence times some query heads of one key
// head.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/ops.h"

namespace guildhall {

struct AttentionTile {
  int64_t row = 0, rows = 0;    // neighbours of one sequence, rows * heads <= kMaxTileQueries
  int64_t head = 0, heads = 0;  // query heads that read `kv_head`
  int64_t kv_head = 0;
};

// A (row, head) pair is a query. Its result has one order of operations whatever tile it stands in; a tile
// only lets several queries share each read of keys and values.
inline constexpr int kMaxTileQueries = 32;

// Keys are weighed in spans at absolute multiples of this: one maximum, one rescaling of what was summed
// before.
inline constexpr int kSpanTokens = 64;

// Floats of worker memory for each query of a tile.
constexpr int64_t AttentionQueryFloats(const KvShape& shape) {
  return kSpanTokens + (shape.value_dim + 15) / 16 * 16;
}

// `scratch`: 64-byte aligned, AttentionQueryFloats() for each query of the tile, owned by the calling worker.
using AttendFunction = void (*)(const AttentionArgs& args, const AttentionTile& tile, float* scratch);
AttendFunction ChooseAttend(const KvShape& shape, Isa isa);

}  // namespace guildhall
