#include "kernels/cpu/attention_plan.h"

#include <algorithm>

namespace guildhall {
namespace {

// Neighbouring rows of one sequence, at most `rows_at_once` of them each. `ranges` may be null to count only.
// Rows that take no part are in none.
int64_t CutRows(const StepData& step, int64_t rows_at_once, std::vector<RowRange>* ranges) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < step.rows;) {
    if (step.kv_place[begin] < 0) {
      ++begin;
      continue;
    }
    int64_t end = begin + 1;
    while (end < step.rows && end - begin < rows_at_once && step.sequence[end] == step.sequence[begin] &&
           step.kv_place[end] >= 0) {
      ++end;
    }
    if (ranges != nullptr) {
      ranges->push_back({static_cast<int32_t>(begin), static_cast<int32_t>(end - begin)});
    }
    ++count;
    begin = end;
  }
  return count;
}

// The most parts that a row's keys have, counted from the first key of its sequence.
int64_t MostParts(const StepData& step, int window) {
  int64_t parts = 1;
  for (int64_t row = 0; row < step.rows; ++row) {
    if (step.kv_place[row] >= 0) parts = std::max(parts, PartRange(step.positions[row], window).end);
  }
  return parts;
}

int64_t Pieces(const AttentionPlan& plan) {
  const int64_t group = plan.kind.heads / plan.kind.kv_heads;
  return (group + plan.heads_at_once - 1) / plan.heads_at_once;
}

void CutTiles(const StepData& step, int64_t queries, AttentionPlan& plan) {
  plan.heads_at_once = std::min(plan.kind.heads / plan.kind.kv_heads, queries);
  plan.rows_at_once = std::max<int64_t>(1, queries / plan.heads_at_once);
  plan.tiles = CutRows(step, plan.rows_at_once, nullptr) * plan.kind.kv_heads * Pieces(plan);
}

// Large tiles read the cache less often, but every thread needs several. Few tiles with long contexts are cut
// along their keys, others into smaller tiles. None of this changes a bit.
void ChooseTiles(const StepData& step, size_t states, int threads, AttentionPlan& plan) {
  const int64_t wanted = 2 * threads;
  int64_t queries = std::min<int64_t>(kMaxTileQueries, plan.kind.max_queries);
  CutTiles(step, queries, plan);
  plan.parts = 1;
  if (threads == 1 || plan.tiles >= wanted) return;
  const int64_t parts = MostParts(step, plan.kind.window);
  const auto needed = static_cast<size_t>(step.rows * plan.kind.heads * parts * plan.kind.state_bytes);
  if (parts > 1 && plan.tiles * parts >= wanted && needed <= states) {
    plan.parts = parts;
    return;
  }
  while (queries > 4 && plan.tiles < wanted) CutTiles(step, queries /= 2, plan);
}

}  // namespace

void PlanAttention(const StepData& step, const AttentionKind& kind, size_t states, int threads,
                   AttentionPlan& plan) {
  plan.kind = kind;
  ChooseTiles(step, states, threads, plan);
  plan.ranges.clear();
  CutRows(step, plan.rows_at_once, &plan.ranges);
}

AttentionTile AttentionPlan::Tile(int64_t index) const {
  const auto range_count = static_cast<int64_t>(ranges.size());
  const RowRange range = ranges[static_cast<size_t>(range_count - 1 - index % range_count)];
  const int64_t group = kind.heads / kind.kv_heads, pieces = Pieces(*this);
  const int64_t piece = index / range_count % pieces;
  AttentionTile tile;
  tile.row = range.begin;
  tile.rows = range.count;
  tile.kv_head = index / range_count / pieces;
  tile.head = tile.kv_head * group + piece * heads_at_once;
  tile.heads = std::min(heads_at_once, group - piece * heads_at_once);
  return tile;
}

}  // namespace guildhall
