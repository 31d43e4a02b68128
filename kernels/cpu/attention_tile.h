// The unit of work of AttentionOp: some neighbouring rows of one sequence times some query heads of one key
// head, over all keys or one part of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/attention_kernels.h"
#include "kernels/ops.h"

namespace guildhall {

// Long contexts are attended to in parts at absolute multiples of this, each with a softmax of its own; a
// query's parts are merged in ascending order. So parts may be computed by different threads, and what is
// merged depends on the row's own position and window alone.
inline constexpr int64_t kPartTokens = 512;

// The parts that a row at `position` sees: [begin, end).
struct PartRange {
  int64_t begin, end;

  PartRange(int64_t position, int window)
      : begin(window == 0 || position < window ? 0 : (position - window + 1) / kPartTokens),
        end(position / kPartTokens + 1) {}
};

struct AttentionTile {
  int64_t row = 0, rows = 0;    // neighbours of one sequence, rows * heads <= kMaxTileQueries
  int64_t head = 0, heads = 0;  // query heads that read `kv_head`
  int64_t kv_head = 0;
};

// Floats of worker memory for each query of a tile, and for the tile beside them.
constexpr int64_t AttentionQueryFloats(const KvShape& shape) {
  return 2 * kSpanTokens + 2 * StateFloats(shape.value_dim) + (shape.key_dim + 31) / 32 * 16;
}
constexpr int64_t AttentionTileFloats(const KvShape& shape) {
  if (shape.format != KvFormat::kInt8) return 0;
  return (int64_t{kSpanTokens} * (shape.key_dim + 1 + shape.value_dim) / 2 + 15) / 16 * 16;
}

// All parts of all queries: y is written. `scratch`: 64-byte aligned, AttentionTileFloats() and
// AttentionQueryFloats() for each query, owned by the calling worker.
void AttendTile(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionTile& tile,
                float* scratch);

// The states of parts that are computed apart.
struct PartStates {
  float* states;  // (rows, heads, parts, StateFloats())
  int64_t heads, parts, floats;

  float* At(int64_t row, int64_t head, int64_t part) const {
    return states + ((row * heads + head) * parts + part) * floats;
  }
};

// One part alone, for the queries that see some of it.
void AttendPart(const AttentionArgs& args, const AttentionKernels& kernels, const AttentionTile& tile,
                int64_t part, const PartStates& states, float* scratch);

// Merges the parts of a query that were computed apart, and writes y. Overwrites `states`.
void MergeParts(const AttentionArgs& args, const AttentionKernels& kernels, int64_t row, int64_t head,
                const PartStates& states);

}  // namespace guildhall
