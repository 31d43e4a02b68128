#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// Rows of one head that one item takes.
constexpr int64_t kChunkRows = 8 * kMaxTileRows;

// Of one head: its changes, and where a row's small space is.
struct HeadChanges {
  const HeadMatMulArgs& args;
  int64_t head;

  int32_t TaskOf(int64_t row) const { return args.low_rank.row_task[row]; }
  HeadLowRankTerms TermsOf(int64_t row) const {
    return args.low_rank.tasks[static_cast<size_t>(TaskOf(row))];
  }
  float* Place(int64_t row) const {
    return args.low_rank.workspace +
           (row * static_cast<int64_t>(args.w.size()) + head) * args.low_rank.stride;
  }
  const LowRank& operator()(const HeadLowRankTerm& term) const { return term.change[head]; }
};

void ShrinkHead(const HeadChanges& changes, int64_t begin, int64_t end, std::byte* scratch,
                const CpuContext& context) {
  const HeadMatMulArgs& args = changes.args;
  ForRuns(
      begin, end, kShrinkRows, [&](int64_t row) { return changes.TaskOf(row); },
      [&](int64_t first, int64_t last) {
        ShrinkRows rows{.rows = static_cast<int>(last - first)};
        for (int r = 0; r < rows.rows; ++r) {
          rows.x[r] = args.x + (first + r) * args.x_stride + changes.head * args.x_head_stride;
          rows.u[r] = changes.Place(first + r);
        }
        ShrinkTerms(changes.TermsOf(first), changes, rows, scratch, context);
      });
}

void ExpandHead(const HeadChanges& changes, int64_t row, int rows, int64_t column, int columns, float* tile,
                const CpuContext& context) {
  ForRuns(
      row, row + rows, kMaxTileRows, [&](int64_t r) { return changes.TaskOf(r); },
      [&](int64_t first, int64_t last) {
        ExpandTile part{.tile = tile + (first - row) * kTileStride,
                        .rows = static_cast<int>(last - first),
                        .column = column,
                        .end = column + columns,
                        .panels = static_cast<int>(CeilDiv(columns, kPanelColumns))};
        for (int r = 0; r < part.rows; ++r) part.u[r] = changes.Place(first + r);
        ExpandTerms(changes.TermsOf(first), changes, part, context.isa);
      });
}

// Rows [begin, end) of one head.
void MultiplyHead(const HeadMatMulArgs& args, int64_t head, int64_t begin, int64_t end, std::byte* converted,
                  const CpuContext& context) {
  const Matrix& w = args.w[static_cast<size_t>(head)];
  const float* x = args.x + head * args.x_head_stride;
  float* y = args.y + head * args.y_head_stride;
  const HeadChanges changes{args, head};
  if (!args.low_rank.none()) ShrinkHead(changes, begin, end, converted, context);
  InputRows rows{reinterpret_cast<const std::byte*>(x + begin * args.x_stride),
                 static_cast<size_t>(args.x_stride) * sizeof(float)};
  if (ReadsBF16Rows(context.kernels, w.dtype)) {
    rows = {converted, BF16RowBytes(w.in)};
    for (int64_t row = begin; row < end; ++row) {
      ConvertRow(context.kernels, x + row * args.x_stride, w.in,
                 converted + static_cast<size_t>(row - begin) * rows.stride);
    }
  }
  const PanelGroups groups(w, CeilDiv(w.out, kPanelColumns), context.kernels.group_panels);
  for (int64_t g = 0; g < groups.count(); ++g) {
    const PanelGroup group = groups[g];
    const int64_t column = group.first_panel * kPanelColumns;
    const auto columns = static_cast<int>(std::min<int64_t>(group.panels * kPanelColumns, w.out - column));
    MultiplyGroup(
        context.kernels, w.dtype, group, w.in, begin, end, [&](int64_t row) { return rows[row - begin]; },
        [&](int64_t row, int count, float* tile) {
          if (!args.low_rank.none()) ExpandHead(changes, row, count, column, columns, tile, context);
          float* out[kMaxTileRows];
          for (int r = 0; r < count; ++r) out[r] = y + (row + r) * args.y_stride + column;
          StoreTile({.tile = tile,
                     .bias = nullptr,
                     .y = out,
                     .rows = count,
                     .columns = columns,
                     .clip = 0.0f,
                     .sigmoid = false,
                     .accumulate = false},
                    context.isa);
        });
  }
}

}  // namespace

size_t HeadScratchBytes(const StepLimits& limits) {
  return kChunkRows * BF16RowBytes(limits.max_width);
}

void HeadMatMulOp(const HeadMatMulArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.rows, 0);
  for (const Matrix& w : args.w) {
    GH_CHECK(!w.empty());
    GH_CHECK_EQ(w.in, args.w[0].in);
    GH_CHECK_EQ(w.out, args.w[0].out);
    if (ReadsBF16Rows(context.kernels, w.dtype)) {
      GH_CHECK_LE(std::min(args.rows, kChunkRows) * static_cast<int64_t>(BF16RowBytes(w.in)),
                  static_cast<int64_t>(context.scratch.worker_bytes));
    }
  }
  const auto heads = static_cast<int64_t>(args.w.size());
  const int64_t chunks = CeilDiv(args.rows, kChunkRows);
  context.pool.Run(heads * chunks, [&](int64_t item, int worker) {
    const int64_t begin = item % chunks * kChunkRows;
    MultiplyHead(args, item / chunks, begin, std::min(args.rows, begin + kChunkRows),
                 context.scratch.Worker(worker), context);
  });
}

}  // namespace guildhall
