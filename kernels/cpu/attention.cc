#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/cpu/gate_row.h"
#include "kernels/cpu/ops_internal.h"

namespace guildhall {
namespace {

struct RowRange {
  int32_t begin, count;
};

// How a call is cut into tiles: every range of rows times every piece of the heads of a group times the key
// heads; and whether the parts of a tile's keys are work of their own.
struct Plan {
  int64_t rows_at_once;   // of one sequence
  int64_t heads_at_once;  // of one group
  int64_t tiles;
  int64_t parts;  // 1: tiles walk over all of their keys
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

// The most parts that a row's keys have, counted from the first key of its sequence.
int64_t MostParts(const AttentionArgs& args) {
  int64_t parts = 1;
  for (int64_t row = 0; row < args.rows; ++row) {
    parts = std::max(parts, PartRange(args.position[row], args.window).end);
  }
  return parts;
}

// Large tiles read the cache less often, but every thread needs several. Few tiles with long contexts are cut
// along their keys, others into smaller tiles. None of this changes a bit.
Plan MakePlan(const AttentionArgs& args, int64_t max_queries, size_t state_bytes, int threads) {
  const int64_t group = args.heads / args.shape.kv_heads;
  const auto plan_of = [&](int64_t queries) {
    const int64_t heads = std::min(group, queries);
    const int64_t rows = std::max<int64_t>(1, queries / heads);
    return Plan{rows, heads,
                CutRows(args, rows, nullptr) * args.shape.kv_heads * ((group + heads - 1) / heads), 1};
  };
  const int64_t wanted = 2 * threads;
  int64_t queries = std::min<int64_t>(kMaxTileQueries, max_queries);
  Plan plan = plan_of(queries);
  if (threads == 1 || plan.tiles >= wanted) return plan;
  const int64_t parts = MostParts(args);
  const size_t states =
      static_cast<size_t>(args.rows * args.heads * parts * StateFloats(args.shape.value_dim));
  if (parts > 1 && plan.tiles * parts >= wanted && states * sizeof(float) <= state_bytes) {
    plan.parts = parts;
    return plan;
  }
  while (queries > 4 && plan.tiles < wanted) plan = plan_of(queries /= 2);
  return plan;
}

// Where a call's tiles are.
struct Tiles {
  const Plan& plan;
  const RowRange* ranges;
  int64_t range_count, group, pieces;

  // Neighbouring tiles share a key head; the last rows have the longest contexts and go first.
  AttentionTile operator[](int64_t index) const {
    const RowRange range = ranges[range_count - 1 - index % range_count];
    const int64_t piece = index / range_count % pieces;
    AttentionTile tile;
    tile.row = range.begin;
    tile.rows = range.count;
    tile.kv_head = index / range_count / pieces;
    tile.head = tile.kv_head * group + piece * plan.heads_at_once;
    tile.heads = std::min(plan.heads_at_once, group - piece * plan.heads_at_once);
    return tile;
  }
};

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

void AttendByParts(const AttentionArgs& args, const AttentionKernels& kernels, const Tiles& tiles,
                   CpuContext& context) {
  const Scratch& scratch = context.scratch;
  const int64_t parts = tiles.plan.parts;
  const PartStates states{reinterpret_cast<float*>(scratch.hidden), args.heads, parts,
                          StateFloats(args.shape.value_dim)};
  context.pool.Run(tiles.plan.tiles * parts, [&](int64_t item, int worker) {
    AttendPart(args, kernels, tiles[item / parts], item % parts, states,
               reinterpret_cast<float*>(scratch.Worker(worker)));
  });
  context.pool.Run(args.rows * args.heads, [&](int64_t query, int) {
    MergeParts(args, kernels, query / args.heads, query % args.heads, states);
  });
}

}  // namespace

AttentionKernels ChooseAttentionKernels(const KvShape& shape, Isa isa) {
  const bool bf16 = shape.format != KvFormat::kF32;
  AttentionKernels kernels{};
  ChooseSoftmax(isa, kernels);
  kernels.score = ChooseScore(bf16, shape.value_in_key, isa);
  kernels.add_values = ChooseAddValues(bf16, shape.value_in_key, isa);
#if defined(__x86_64__)
  if (bf16 && isa == Isa::kAvx512) ChooseBF16Dot(shape.value_in_key, kernels);
#endif
  return kernels;
}

void AttentionOp(const AttentionArgs& args, CpuContext& context) {
  if (args.rows == 0) return;
  CheckArgs(args);
  const Scratch& scratch = context.scratch;
  const int64_t max_queries =
      (static_cast<int64_t>(scratch.worker_bytes / sizeof(float)) - AttentionTileFloats(args.shape)) /
      AttentionQueryFloats(args.shape);
  GH_CHECK_GE(max_queries, 1);
  GH_CHECK_LE(args.rows, scratch.limits.max_rows);

  const Plan plan = MakePlan(args, max_queries, scratch.hidden_bytes, context.pool.threads());
  auto* ranges = reinterpret_cast<RowRange*>(scratch.input);  // 8 bytes a row; the op has no converted inputs
  GH_CHECK_LE(static_cast<size_t>(args.rows) * sizeof(RowRange), scratch.input_bytes);
  const int64_t range_count = CutRows(args, plan.rows_at_once, ranges);
  const int64_t group = args.heads / args.shape.kv_heads;
  const Tiles tiles{plan, ranges, range_count, group, (group + plan.heads_at_once - 1) / plan.heads_at_once};
  const AttentionKernels kernels = ChooseAttentionKernels(args.shape, context.isa);
  if (plan.parts > 1) return AttendByParts(args, kernels, tiles, context);
  context.pool.Run(plan.tiles, [&](int64_t item, int worker) {
    AttendTile(args, kernels, tiles[item], reinterpret_cast<float*>(scratch.Worker(worker)));
  });
}

size_t WorkerScratchBytes(const StepLimits& limits) {
  // Attention's full tile up to keys and values of 1024 elements; beyond, its tiles get smaller.
  constexpr KvShape kLarge{.kv_heads = 1, .key_dim = 1024, .value_dim = 1024, .format = KvFormat::kInt8};
  constexpr size_t kAttention =
      sizeof(float) * (AttentionTileFloats(kLarge) + kMaxTileQueries * AttentionQueryFloats(kLarge));
  return std::max(kAttention, sizeof(float) * static_cast<size_t>(GateScratchFloats(limits.max_experts)));
}

}  // namespace guildhall
