#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// Rows of one head that one item takes.
constexpr int64_t kChunkRows = 8 * kMaxTileRows;

// Of scaled inputs of a chunk.
constexpr size_t ScaledBytes(int64_t in) {
  return static_cast<size_t>(kChunkRows * RoundUp(in, 16)) * sizeof(float);
}

// Of one head: its changes, and where a row's small space is.
struct HeadChanges {
  const HeadMatMulArgs& args;
  int64_t head;

  int32_t SetOf(int64_t row) const { return args.low_rank.rows.set[row]; }
  const LowRankTerms& TermsOf(int64_t row) const { return args.low_rank.Terms(SetOf(row)); }
  float* Place(int64_t row) const {
    return args.low_rank.workspace + (row * args.w.heads + head) * args.low_rank.stride;
  }
};

void ShrinkHead(const HeadChanges& changes, int64_t begin, int64_t end, std::byte* scratch,
                const CpuContext& context) {
  const HeadMatMulArgs& args = changes.args;
  ForRuns(
      begin, end, kShrinkRows, [&](int64_t row) { return changes.SetOf(row); },
      [&](int64_t first, int64_t last) {
        ShrinkRows rows{.rows = static_cast<int>(last - first)};
        for (int r = 0; r < rows.rows; ++r) {
          rows.x[r] = args.x + (first + r) * args.x_stride + changes.head * args.x_head_stride;
          rows.u[r] = changes.Place(first + r);
        }
        ShrinkTerms(changes.TermsOf(first), changes.head, rows, scratch, context);
      });
}

void ExpandHead(const HeadChanges& changes, int64_t row, int rows, int64_t column, int columns, float* tile,
                const CpuContext& context) {
  ForRuns(
      row, row + rows, kMaxTileRows, [&](int64_t r) { return changes.SetOf(r); },
      [&](int64_t first, int64_t last) {
        ExpandTile part{.tile = tile + (first - row) * kTileStride,
                        .rows = static_cast<int>(last - first),
                        .column = column,
                        .end = column + columns,
                        .panels = static_cast<int>(CeilDiv(columns, kPanelColumns))};
        for (int r = 0; r < part.rows; ++r) part.u[r] = changes.Place(first + r);
        ExpandTerms(changes.TermsOf(first), changes.head, part, context.isa);
      });
}

// Row by row the input of the base's product: x itself, or scaled by the row's changes into `scratch`.
struct HeadRows {
  const float* x[kChunkRows];

  HeadRows(const HeadChanges& changes, int64_t begin, int64_t end, float* scratch) {
    const HeadMatMulArgs& args = changes.args;
    const int64_t in = args.w.first.in;
    for (int64_t row = begin; row < end; ++row) {
      const float*& from = x[row - begin];
      from = args.x + row * args.x_stride + changes.head * args.x_head_stride;
      if (args.low_rank.none() || changes.SetOf(row) < 0) continue;
      float* scaled = scratch + (row - begin) * RoundUp(in, 16);
      if (!SumGains(changes.TermsOf(row), changes.head, &LowRank::in_gain, 0, in, scaled)) continue;
      for (int64_t i = 0; i < in; ++i) scaled[i] *= from[i];
      from = scaled;
    }
  }
};

// Rows [begin, end) of one head.
void MultiplyHead(const HeadMatMulArgs& args, int64_t head, int64_t begin, int64_t end, std::byte* scratch,
                  const CpuContext& context) {
  const Matrix w = args.w[head];
  float* y = args.y + head * args.y_head_stride;
  const HeadChanges changes{args, head};
  if (!args.low_rank.none()) ShrinkHead(changes, begin, end, scratch, context);
  const bool bf16 = RowFormatOf(context.kernels, w.format) == RowFormat::kBF16;
  const HeadRows rows(changes, begin, end, reinterpret_cast<float*>(scratch));
  std::byte* const converted = scratch + ScaledBytes(w.in);
  for (int64_t row = begin; row < end && bf16; ++row) {
    ConvertRow(context, RowFormat::kBF16, rows.x[row - begin], w.in,
               converted + static_cast<size_t>(row - begin) * RowBytes(RowFormat::kBF16, w.in));
  }
  const auto row_of = [&](int64_t row) -> const void* {
    if (!bf16) return rows.x[row - begin];
    return converted + static_cast<size_t>(row - begin) * RowBytes(RowFormat::kBF16, w.in);
  };
  const PanelGroups groups(w, CeilDiv(w.out, kPanelColumns), context.kernels);
  for (int64_t g = 0; g < groups.count(); ++g) {
    const PanelGroup group = groups[g];
    const int64_t column = group.first_panel * kPanelColumns;
    const auto columns = static_cast<int>(std::min<int64_t>(group.panels * kPanelColumns, w.out - column));
    MultiplyGroup(context.kernels, w.format, group, w.in, begin, end, row_of,
                  [&](int64_t row, int count, float* tile) {
                    if (!args.low_rank.none())
                      ExpandHead(changes, row, count, column, columns, tile, context);
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
  return ScaledBytes(limits.max_width) + kChunkRows * RowBytes(RowFormat::kBF16, limits.max_width);
}

void HeadMatMulOp(const HeadMatMulArgs& args, CpuContext& context) {
  GH_CHECK_GE(args.rows, 0);
  const Matrix& w = args.w.first;
  GH_CHECK(!w.empty());
  GH_CHECK(!IsQuantized(w.format));  // products of heads have no quantized formats
  if (RowFormatOf(context.kernels, w.format) == RowFormat::kBF16) {
    GH_CHECK_LE(ScaledBytes(w.in) + kChunkRows * RowBytes(RowFormat::kBF16, w.in),
                context.scratch.worker_bytes);
  }
  const int64_t chunks = CeilDiv(args.rows, kChunkRows);
  context.pool.Run(args.w.heads * chunks, [&](int64_t item, int worker) {
    const int64_t begin = item % chunks * kChunkRows;
    MultiplyHead(args, item / chunks, begin, std::min(args.rows, begin + kChunkRows),
                 context.scratch.Worker(worker), context);
  });
}

}  // namespace guildhall
