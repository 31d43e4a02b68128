#include "kernels/cpu/ops_internal.h"
#include "kernels/cpu/row_chunks.h"
#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/embed.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <cstring>

#include <algorithm>

#include "base/check.h"
#include "kernels/cpu/low_rank.h"
#include "kernels/cpu/packing.h"

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

namespace {

// y = gains * y + scale * B a[token] for one row of one set; u: the row's workspace.
void AddTerms(const LowRankTerms& terms, int32_t token, int64_t hidden, float* u, float* y, Isa isa) {
  for (int64_t c = 0; c < hidden; c += kPanelColumns) {
    float factors[kPanelColumns];
    const int64_t count = std::min<int64_t>(kPanelColumns, hidden - c);
    if (!SumGains(terms, 0, &LowRank::gain, c, count, factors)) break;
    for (int64_t i = 0; i < count; ++i) y[c + i] *= factors[i];
  }
  for (const LowRankTerm& term : terms) {
    const LowRank& change = *term.change;
    const LowRankPart& part = change.parts[0];
    const int64_t rank = change.a.out;
    for (int64_t k = 0; k < rank; ++k) {
      u[k] = LoadElement(change.a.data, DTypeOf(change.a.format), int64_t{token} * rank + k) *
             (part.scale * term.scale);
    }
    float panel[kPanelColumns];
    for (int64_t c = 0; c < hidden; c += kPanelColumns) {
      const int64_t count = std::min<int64_t>(kPanelColumns, hidden - c);
      std::fill(std::copy_n(y + c, count, panel), panel + kPanelColumns, 0.0f);
      Expand(change, {.tile = panel, .rows = 1, .u = {u}, .column = c, .end = c + count, .panels = 1}, isa);
      std::copy_n(panel, count, y + c);
    }
  }
}

}  // namespace

void EmbedOp(const EmbedArgs& args, CpuContext& context) {
  const auto widen_row = GH_SIMD(WidenRow, context.isa);
  const auto* table = static_cast<const std::byte*>(args.table);
  const size_t row_bytes = static_cast<size_t>(args.hidden) * DTypeSize(args.dtype);
  ForRowChunks(context.pool, args.rows, args.hidden, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      GH_CHECK_GE(args.tokens[row], 0);
      widen_row(table + static_cast<size_t>(args.tokens[row]) * row_bytes, args.dtype,
                args.y + row * args.hidden, args.hidden);
      if (args.low_rank.none() || args.low_rank.rows.set[row] < 0) continue;
      AddTerms(args.low_rank.Terms(args.low_rank.rows.set[row]), args.tokens[row], args.hidden,
               args.low_rank.workspace + row * args.low_rank.stride, args.y + row * args.hidden, context.isa);
    }
  });
}

}  // namespace guildhall
#endif  // HWY_ONCE
