#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// Rows with low-rank changes into their small spaces, before any tile needs them.
void ShrinkRowsOf(const MatMulArgs& args, const CpuContext& context) {
  const LowRankRows& low_rank = args.low_rank;
  context.pool.Run(low_rank.rows.segment_count, [&](int64_t item, int worker) {
    const RowSegment& segment = low_rank.rows.segments[item];
    ShrinkRows rows{.rows = segment.end - segment.begin};
    GH_CHECK_LE(rows.rows, kShrinkRows);
    for (int r = 0; r < rows.rows; ++r) {
      rows.x[r] = args.x + (segment.begin + r) * args.x_stride;
      rows.u[r] = low_rank.workspace + (segment.begin + r) * low_rank.stride;
    }
    ShrinkTerms(low_rank.Terms(segment.set), 0, rows, context.scratch.Worker(worker), context);
  });
}

void ExpandRowsOf(const MatMulArgs& args, int64_t row, int rows, int64_t column, int columns, float* tile,
                  const CpuContext& context) {
  const LowRankRows& low_rank = args.low_rank;
  const auto set_of = [&](int64_t r) { return low_rank.rows.set[r]; };
  ForRuns(row, row + rows, kMaxTileRows, set_of, [&](int64_t first, int64_t last) {
    ExpandTile part{.tile = tile + (first - row) * kTileStride,
                    .rows = static_cast<int>(last - first),
                    .column = column,
                    .end = column + columns,
                    .panels = static_cast<int>(CeilDiv(columns, kPanelColumns))};
    for (int r = 0; r < part.rows; ++r) part.u[r] = low_rank.workspace + (first + r) * low_rank.stride;
    ExpandTerms(low_rank.Terms(set_of(first)), 0, part, context.isa);
  });
}

// Rows [begin, end) of y for one group of columns.
void MultiplyBlock(const MatMulArgs& args, const InputRows& x, const PanelGroup& group, int64_t begin,
                   int64_t end, const CpuContext& context) {
  const int64_t column = group.first_panel * kPanelColumns;
  const auto columns = static_cast<int>(std::min<int64_t>(group.panels * kPanelColumns, args.w.out - column));
  MultiplyGroup(
      context.kernels, args.w.format, group, args.w.in, begin, end, [&](int64_t row) { return x[row]; },
      [&](int64_t row, int rows, float* tile) {
        if (!args.low_rank.none()) ExpandRowsOf(args, row, rows, column, columns, tile, context);
        float* y[kMaxTileRows];
        for (int r = 0; r < rows; ++r) y[r] = args.y + (row + r) * args.y_stride + column;
        StoreTile({.tile = tile,
                   .bias = args.bias != nullptr ? args.bias + column : nullptr,
                   .y = y,
                   .rows = rows,
                   .columns = columns,
                   .clip = args.clip,
                   .sigmoid = args.sigmoid,
                   .accumulate = args.accumulate},
                  context.isa);
      });
}

}  // namespace

void MatMulOp(const MatMulArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.rows, 0);
  GH_CHECK(!args.w.empty());
  GH_CHECK_GE(args.x_stride, args.rows > 1 ? args.w.in : 0);
  GH_CHECK_GE(args.y_stride, args.rows > 1 ? args.w.out : 0);
  if (args.rows == 0) return;
  const InputRows x =
      PrepareRows(args.x, args.rows, args.w.in, args.x_stride, RowFormatOf(context.kernels, args.w.format),
                  context.scratch.input, context.scratch.input_bytes, context);
  if (!args.low_rank.none()) ShrinkRowsOf(args, context);
  const PanelGroups groups(args.w, CeilDiv(args.w.out, kPanelColumns), context.kernels);
  const ItemPlan plan = PlanItems(groups.count(), groups.GroupBytes(), args.rows, 1, context.pool.threads());
  context.pool.Run(plan.items(), [&](int64_t item, int) {
    const int64_t begin = item % plan.chunks * plan.chunk_rows;
    const int64_t end = std::min(args.rows, begin + plan.chunk_rows);
    const int64_t first = item / plan.chunks * plan.block_groups;
    const int64_t last = std::min(groups.count(), first + plan.block_groups);
    for (int64_t group = first; group < last; ++group)
      MultiplyBlock(args, x, groups[group], begin, end, context);
  });
}

}  // namespace guildhall
