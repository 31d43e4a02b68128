#include "kernels/cpu/attention_tile.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/gate_row.h"
#include "kernels/cpu/ops_internal.h"

namespace guildhall {
namespace {

struct RowRange {
  int32_t begin, count;
};

// How a call is cut into tiles: every range of rows times every part of the heads of a group times the key
// heads.
struct Plan {
  int64_t rows_at_once;   // of one sequence
  int64_t heads_at_once;  // of one group
};

// Neighbouring rows of one sequence, at most `rows_at_once` of them each. `ranges` may be null to count only.
int64_t CutRows(const AttentionArgs& args, int64_t rows_at_once, RowRange* ranges) {
  int64_t count = 0;
  for (int64_t begin = 0; begin < args.rows;) {
    int64_t end = begin + 1;
    while (end < args.rows && end - begin < rows_at_once && args.sequence[end] == args.sequence[begin]) ++end;
    if (ranges != nullptr) ranges[count] = {static_cast<int32_t>(begin), static_cast<int32_t>(end - begin)};
    ++count;
    begin = end;
  }
  return count;
}

// Large tiles read the cache less often, but every thread needs several.
Plan MakePlan(const AttentionArgs& args, int64_t max_queries, int threads) {
  const int64_t group = args.heads / args.shape.kv_heads;
  int64_t queries = std::min<int64_t>(kMaxTileQueries, max_queries);
  while (true) {
    const int64_t heads = std::min(group, queries);
    const Plan plan{std::max<int64_t>(1, queries / heads), heads};
    const int64_t tiles =
        CutRows(args, plan.rows_at_once, nullptr) * args.shape.kv_heads * ((group + heads - 1) / heads);
    if (queries <= 4 || threads == 1 || tiles >= 2 * threads) return plan;
    queries /= 2;
  }
}

void CheckArgs(const AttentionArgs& args) {
  GH_CHECK_GT(CpuKvBlockBytes(args.shape), size_t{0});
  GH_CHECK_GT(args.heads, 0);
  GH_CHECK_EQ(args.heads % args.shape.kv_heads, 0);
  GH_CHECK_GE(args.window, 0);
  for (int64_t row = 0; row < args.rows; ++row) {
    GH_CHECK_GE(args.position[row], 0);
    GH_CHECK_LT(args.position[row] / kKvBlockTokens, args.max_blocks);
    if (row > 0 && args.sequence[row] == args.sequence[row - 1]) {
      GH_CHECK_GT(args.position[row], args.position[row - 1]);
    }
  }
}

}  // namespace

void AttentionOp(const AttentionArgs& args, CpuContext& context) {
  if (args.rows == 0) return;
  CheckArgs(args);
  const Scratch& scratch = context.scratch;
  const int64_t max_queries =
      static_cast<int64_t>(scratch.worker_bytes / sizeof(float)) / AttentionQueryFloats(args.shape);
  GH_CHECK_GE(max_queries, 1);
  GH_CHECK_LE(args.rows, scratch.limits.max_rows);

  const Plan plan = MakePlan(args, max_queries, context.pool.threads());
  auto* ranges = reinterpret_cast<RowRange*>(scratch.input);  // 8 bytes a row; the op has no converted inputs
  GH_CHECK_LE(static_cast<size_t>(args.rows) * sizeof(RowRange), scratch.input_bytes);
  const int64_t range_count = CutRows(args, plan.rows_at_once, ranges);
  const int64_t group = args.heads / args.shape.kv_heads;
  const int64_t parts = (group + plan.heads_at_once - 1) / plan.heads_at_once;
  const AttendFunction attend = ChooseAttend(args.shape, context.isa);
  context.pool.Run(range_count * parts * args.shape.kv_heads, [&](int64_t item, int worker) {
    // Neighbouring items share a key head; the last rows have the longest contexts and go first.
    const RowRange range = ranges[range_count - 1 - item % range_count];
    const int64_t part = item / range_count % parts;
    AttentionTile tile;
    tile.row = range.begin;
    tile.rows = range.count;
    tile.kv_head = item / range_count / parts;
    tile.head = tile.kv_head * group + part * plan.heads_at_once;
    tile.heads = std::min(plan.heads_at_once, group - part * plan.heads_at_once);
    attend(args, tile, reinterpret_cast<float*>(scratch.Worker(worker)));
  });
}

size_t WorkerScratchBytes(const StepLimits& limits) {
  // Attention's full tile up to values of 1024 elements; beyond, its tiles get smaller.
  constexpr size_t kAttention = sizeof(float) * kMaxTileQueries * (kSpanTokens + 1024);
  return std::max(kAttention, sizeof(float) * static_cast<size_t>(GateScratchFloats(limits.max_experts)));
}

}  // namespace guildhall
