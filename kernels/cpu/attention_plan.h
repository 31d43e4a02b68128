// How a step's attention is cut into tiles: made once per step for each kind of layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cpu/attention_tile.h"
#include "kernels/step_data.h"

namespace guildhall {

struct RowRange {
  int32_t begin, count;
};

// What a plan depends on beside the step's rows.
struct AttentionKind {
  int64_t heads = 0, kv_heads = 0;
  int64_t max_queries = 0;  // of a tile, by the worker's memory
  int64_t state_bytes = 0;  // of one query's state
  int window = 0;

  bool operator==(const AttentionKind&) const = default;
};

// Every range of rows times every piece of the heads of a group times the key heads; and whether the parts of
// a tile's keys are work of their own.
struct AttentionPlan {
  AttentionKind kind;
  int64_t rows_at_once = 0;   // of one sequence
  int64_t heads_at_once = 0;  // of one group
  int64_t tiles = 0;
  int64_t parts = 1;  // 1: tiles walk over all of their keys
  std::vector<RowRange> ranges;

  // Neighbouring tiles share a key head; the last rows have the longest contexts and go first.
  AttentionTile Tile(int64_t index) const;
};

// `states`: bytes that there are for the states of parts. Allocates nothing where `plan.ranges` has room for
// all rows.
void PlanAttention(const StepData& step, const AttentionKind& kind, size_t states, int threads,
                   AttentionPlan& plan);

}  // namespace guildhall
