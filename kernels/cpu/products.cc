#include "kernels/cpu/products.h"

#include "base/check.h"
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

InputRows PrepareRows(const float* x, int64_t rows, int64_t width, int64_t stride, WeightFormat format,
                      std::byte* destination, size_t destination_bytes, CpuContext& context) {
  if (!ReadsBF16Rows(context.kernels, format)) {
    return {reinterpret_cast<const std::byte*>(x), static_cast<size_t>(stride) * sizeof(float)};
  }
  const size_t row_bytes = BF16RowBytes(width);
  GH_CHECK_LE(static_cast<size_t>(rows) * row_bytes, destination_bytes);
  ForRowChunks(context.pool, rows, width, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      ConvertRow(context.kernels, x + row * stride, width,
                 destination + static_cast<size_t>(row) * row_bytes);
    }
  });
  return {destination, row_bytes};
}

ItemPlan PlanItems(const PanelGroups& groups, int64_t rows, int64_t products, int threads) {
  const int64_t wanted = kItemsPerThread * threads;
  const int64_t by_bytes = std::max<int64_t>(1, kItemBytes / static_cast<int64_t>(groups.GroupBytes()));
  const int64_t by_count = std::max<int64_t>(1, products * groups.count() / wanted);
  ItemPlan plan{};
  plan.block_groups = std::min(by_bytes, by_count);
  plan.blocks = CeilDiv(groups.count(), plan.block_groups);
  const int64_t cuts = std::clamp<int64_t>(wanted / std::max<int64_t>(1, products * plan.blocks), 1,
                                           std::max<int64_t>(1, rows / kMinChunkRows));
  plan.chunk_rows = std::max<int64_t>(1, RoundUp(CeilDiv(rows, cuts), kMaxTileRows));
  plan.chunks = CeilDiv(rows, plan.chunk_rows);
  return plan;
}

}  // namespace guildhall
