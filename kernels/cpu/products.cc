#include "kernels/cpu/products.h"

#include "base/check.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/row_chunks.h"

namespace guildhall {
namespace {

// A stream shorter than this spends much of its time on finding its start in memory.
constexpr int64_t kItemBytes = 256 << 10;
// So many items each let threads of uneven speed end together.
constexpr int64_t kItemsPerThread = 8;
// Rows that repay reading the weights again by another thread.
constexpr int64_t kMinChunkRows = 8 * kMaxTileRows;

}  // namespace

void ConvertRow(const CpuContext& context, RowFormat format, const float* x, int64_t count, std::byte* row) {
  switch (format) {
    case RowFormat::kFloat:
      std::copy_n(x, count, reinterpret_cast<float*>(row));
      break;
    case RowFormat::kBF16: {
      auto* y = reinterpret_cast<uint16_t*>(row);
      context.kernels.to_bf16(x, count, y);
      if (count % 2 != 0) y[count] = 0;
      break;
    }
    case RowFormat::kInt8:
      QuantizeRow(x, count, reinterpret_cast<RowBlock*>(row), context.isa);
      break;
  }
}

InputRows PrepareRows(const float* x, int64_t rows, int64_t width, int64_t stride, RowFormat format,
                      std::byte* destination, size_t destination_bytes, CpuContext& context) {
  if (format == RowFormat::kFloat) {
    return {reinterpret_cast<const std::byte*>(x), static_cast<size_t>(stride) * sizeof(float)};
  }
  const size_t row_bytes = RowBytes(format, width);
  GH_CHECK_LE(static_cast<size_t>(rows) * row_bytes, destination_bytes);
  ForRowChunks(context.pool, rows, width, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      ConvertRow(context, format, x + row * stride, width,
                 destination + static_cast<size_t>(row) * row_bytes);
    }
  });
  return {destination, row_bytes};
}

ItemPlan PlanItems(int64_t groups, size_t group_bytes, int64_t rows, int64_t products, int threads) {
  const int64_t wanted = kItemsPerThread * threads;
  const int64_t by_bytes = std::max<int64_t>(1, kItemBytes / static_cast<int64_t>(group_bytes));
  const int64_t by_count = std::max<int64_t>(1, products * groups / wanted);
  ItemPlan plan{};
  plan.block_groups = std::min(by_bytes, by_count);
  plan.blocks = CeilDiv(groups, plan.block_groups);
  const int64_t cuts = std::clamp<int64_t>(wanted / std::max<int64_t>(1, products * plan.blocks), 1,
                                           std::max<int64_t>(1, rows / kMinChunkRows));
  plan.chunk_rows = std::max<int64_t>(1, RoundUp(CeilDiv(rows, cuts), kMaxTileRows));
  plan.chunks = CeilDiv(rows, plan.chunk_rows);
  return plan;
}

}  // namespace guildhall
