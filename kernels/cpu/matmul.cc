#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// Rows [begin, end) of y for one group of columns.
void MultiplyBlock(const MatMulArgs& args, const InputRows& x, const PanelGroup& group, int64_t begin,
                   int64_t end, const CpuContext& context) {
  const int64_t column = group.first_panel * kPanelColumns;
  const auto columns = static_cast<int>(std::min<int64_t>(group.panels * kPanelColumns, args.w.out - column));
  MultiplyGroup(
      context.kernels, args.w.dtype, group, args.w.in, begin, end, [&](int64_t row) { return x[row]; },
      [&](int64_t row, int rows, const float* tile) {
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
  const InputRows x = PrepareRows(args.x, args.rows, args.w.in, args.x_stride, args.w.dtype,
                                  context.scratch.input, context.scratch.input_bytes, context);
  const PanelGroups groups(args.w, CeilDiv(args.w.out, kPanelColumns), context.kernels.group_panels);
  const ItemPlan plan = PlanItems(groups, args.rows, 1, context.pool.threads());
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
