#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embed.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <cstring>

#include "base/check.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Exact widening of one row; `from` may lie anywhere, as in a mapped checkpoint.
void WidenRow(const std::byte* from, DType dtype, float* to, int64_t width) {
  if (dtype == DType::kF32) {
    std::memcpy(to, from, static_cast<size_t>(width) * sizeof(float));
    return;
  }
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> du16;
  const hn::Rebind<hwy::float16_t, decltype(d)> df16;
  constexpr int64_t kLanes = hn::MaxLanes(d);
  alignas(64) uint16_t bits[kLanes] = {};
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t count = width - i < kLanes ? width - i : kLanes;
    std::memcpy(bits, from + 2 * i, static_cast<size_t>(count) * 2);
    const auto half = hn::Load(du16, bits);
    const auto wide = dtype == DType::kBF16 ? hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, half)))
                                            : hn::PromoteTo(d, hn::BitCast(df16, half));
    if (count == kLanes) {
      hn::StoreU(wide, d, to + i);
    } else {
      alignas(64) float tail[kLanes];
      hn::Store(wide, d, tail);
      std::memcpy(to + i, tail, static_cast<size_t>(count) * sizeof(float));
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {

HWY_EXPORT(WidenRow);

void EmbedOp(const EmbedArgs& args, CpuContext& context) {
  const auto widen_row = GH_SIMD(WidenRow, context.isa);
  const auto* table = static_cast<const std::byte*>(args.table);
  const size_t row_bytes = static_cast<size_t>(args.hidden) * DTypeSize(args.dtype);
  ForRowChunks(context.pool, args.rows, args.hidden, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      GH_CHECK_GE(args.tokens[row], 0);
      widen_row(table + static_cast<size_t>(args.tokens[row]) * row_bytes, args.dtype,
                args.y + row * args.hidden, args.hidden);
    }
  });
}

}  // namespace guildhall
#endif  // HWY_ONCE
