#include "base/check.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/products.h"

namespace guildhall {
namespace {

// Rows of one head that one item takes.
constexpr int64_t kChunkRows = 8 * kMaxTileRows;

// Rows [begin, end) of one head.
void MultiplyHead(const HeadMatMulArgs& args, int64_t head, int64_t begin, int64_t end, std::byte* converted,
                  const CpuContext& context) {
  const Matrix& w = args.w[static_cast<size_t>(head)];
  const float* x = args.x + head * args.x_head_stride;
  float* y = args.y + head * args.y_head_stride;
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
        [&](int64_t row, int count, const float* tile) {
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
