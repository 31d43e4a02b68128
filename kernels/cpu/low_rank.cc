#include "kernels/cpu/low_rank.h"

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/low_rank.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/status.h"
#include "kernels/cpu/pack_group.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/products.h"

HWY_BEFORE_NAMESPACE();
namespace guildhall {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::CappedTag<float, kPanelColumns>;

HWY_INLINE hn::Vec<Floats> LoadB(Floats d, const float* b) {
  return hn::LoadU(d, b);
}
HWY_INLINE hn::Vec<Floats> LoadB(Floats d, const uint16_t* b) {
  const hn::RebindToUnsigned<Floats> du;
  const hn::Rebind<uint16_t, Floats> du16;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, hn::LoadU(du16, b))));
}

// One panel of kRows rows: the sums stay in registers while B passes by once.
template <int kRows, typename T>
void ExpandPanel(const T* b, int64_t rank, const float* const* u, float* tile, int64_t stride) {
  const Floats d;
  for (size_t c = 0; c < kPanelColumns; c += hn::Lanes(d)) {
    // Unrolled by hand: at -O2 the compiler would keep the sums in memory.
    hn::Vec<Floats> sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = hn::LoadU(d, tile + r * stride + c);
    for (int64_t k = 0; k < rank; ++k) {
      const auto column = LoadB(d, b + k * kPanelColumns + c);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(hn::Set(d, u[r][k]), column, sum[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) hn::StoreU(sum[r], d, tile + r * stride + c);
  }
}

template <typename T>
void ExpandRows(int rows, const T* b, int64_t rank, const float* const* u, float* tile, int64_t stride) {
  using Function = void (*)(const T*, int64_t, const float* const*, float*, int64_t);
  static constexpr Function kFunctions[kMaxTileRows] = {ExpandPanel<1, T>, ExpandPanel<2, T>,
                                                        ExpandPanel<3, T>, ExpandPanel<4, T>,
                                                        ExpandPanel<5, T>, ExpandPanel<6, T>};
  kFunctions[rows - 1](b, rank, u, tile, stride);
}

// `first`: the product's column at which the part's first panel begins.
void ExpandImpl(const LowRankPart& part, int64_t first, const ExpandTile& tile) {
  const float* u[kMaxTileRows];
  for (int r = 0; r < tile.rows; ++r) u[r] = tile.u[r] + part.rank_begin;
  for (int p = 0; p < tile.panels; ++p) {
    const int64_t column = tile.column + p * kPanelColumns;
    if (column < first || column >= part.out_begin + part.out || column >= tile.end) continue;
    float* out = tile.tile + p * tile.panel_stride;
    const int64_t begin = (column - first) * part.rank;
    if (part.dtype == DType::kBF16) {
      ExpandRows(tile.rows, reinterpret_cast<const uint16_t*>(part.b) + begin, part.rank, u, out,
                 tile.stride);
    } else {
      ExpandRows(tile.rows, reinterpret_cast<const float*>(part.b) + begin, part.rank, u, out, tile.stride);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace guildhall
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace guildhall {
namespace {

// The product's column at which a packed B begins.
int64_t FirstColumn(int64_t out_begin) {
  return out_begin / kPanelColumns * kPanelColumns;
}

}  // namespace

size_t PackedLowRankBytes(const PackShape& shape) {
  const int64_t columns = RoundUp(shape.out_begin + shape.out, kPanelColumns) - FirstColumn(shape.out_begin);
  return static_cast<size_t>(shape.in * columns) * DTypeSize(DTypeOf(shape.format));
}

absl::Status PackLowRank(const PackParts& parts, const PackShape& shape, Isa isa, std::byte* destination) {
  GH_CHECK(shape.format == WeightFormat::kF32 || shape.format == WeightFormat::kBF16);
  GH_CHECK_EQ(parts.rows.size(), size_t{1});
  GH_ASSIGN_OR_RETURN(const TensorView b, parts.read(0, 0, shape.out));
  GH_CHECK(b.shape == std::vector<int64_t>({shape.out, shape.in}));
  const size_t row_bytes = static_cast<size_t>(shape.in) * DTypeSize(b.dtype);
  const size_t panel_bytes = static_cast<size_t>(shape.in * kPanelColumns) * DTypeSize(DTypeOf(shape.format));
  const int64_t before = shape.out_begin - FirstColumn(shape.out_begin);
  for (int64_t first = -before; first < shape.out; first += kPanelColumns, destination += panel_bytes) {
    PackColumn columns[kPanelColumns];
    for (int64_t row = std::max<int64_t>(first, 0); row < std::min(first + kPanelColumns, shape.out); ++row) {
      columns[row - first] = {b.data + static_cast<size_t>(row) * row_bytes, b.dtype};
    }
    PackPanelGroup({columns, 1, shape.in, shape.format, destination, true}, isa);
  }
  return absl::OkStatus();
}

size_t ShrinkScratchBytes(const StepLimits& limits) {
  const int64_t width = std::max({limits.max_width, limits.hidden, limits.max_ffn_width});
  return static_cast<size_t>(kShrinkRows * RoundUp(width, 32)) * sizeof(float);
}

void Shrink(const LowRank& change, float factor, const ShrinkRows& rows, std::byte* scratch,
            const CpuContext& context) {
  const Matrix& a = change.a;
  GH_CHECK(!IsQuantized(a.format));  // low-rank factors are kept as they are
  const bool wants_bf16 = RowFormatOf(context.kernels, a.format) == RowFormat::kBF16;
  const void* x[kShrinkRows];
  const auto row_bytes = static_cast<size_t>(RoundUp(a.in, 32)) * sizeof(float);
  for (int r = 0; r < rows.rows; ++r) {
    x[r] = rows.x[r];
    if (wants_bf16 == rows.bf16) continue;
    std::byte* converted = scratch + static_cast<size_t>(r) * row_bytes;
    if (wants_bf16) {
      ConvertRow(context, RowFormat::kBF16, static_cast<const float*>(rows.x[r]), a.in, converted);
    } else {
      const auto* from = static_cast<const uint16_t*>(rows.x[r]);
      for (int64_t i = 0; i < a.in; ++i) reinterpret_cast<float*>(converted)[i] = BF16ToFloat(from[i]);
    }
    x[r] = converted;
  }
  const PanelGroups groups(a, CeilDiv(a.out, kPanelColumns), context.kernels);
  for (int64_t g = 0; g < groups.count(); ++g) {
    const PanelGroup group = groups[g];
    const int64_t column = group.first_panel * kPanelColumns;
    MultiplyGroup(
        context.kernels, a.format, group, a.in, 0, rows.rows, [&](int64_t row) { return x[row]; },
        [&](int64_t row, int count, const float* tile) {
          for (int r = 0; r < count; ++r) {
            std::copy_n(tile + r * kTileStride, group.panels * kPanelColumns, rows.u[row + r] + column);
          }
        });
  }
  for (int64_t p = 0; p < change.part_count; ++p) {
    const LowRankPart& part = change.parts[p];
    const float scale = part.scale * factor;
    for (int r = 0; r < rows.rows; ++r) {
      float* u = rows.u[r] + part.rank_begin;
      for (int64_t k = 0; k < part.rank; ++k) u[k] *= scale;
    }
  }
}

HWY_EXPORT(ExpandImpl);

void Expand(const LowRank& change, const ExpandTile& tile, Isa isa) {
  for (int64_t p = 0; p < change.part_count; ++p) {
    const LowRankPart& part = change.parts[p];
    const int64_t first = FirstColumn(part.out_begin);
    if (part.module != tile.module || first >= tile.end || part.out_begin + part.out <= tile.column) continue;
    GH_SIMD(ExpandImpl, isa)(part, first, tile);
  }
}

void ShrinkTerms(const LowRankTerms& terms, int64_t index, ShrinkRows rows, std::byte* scratch,
                 const CpuContext& context) {
  for (const LowRankTerm& term : terms) {
    const LowRank& change = term.change[index];
    if (change.a.empty()) continue;
    Shrink(change, term.scale, rows, scratch, context);
    for (int r = 0; r < rows.rows; ++r) rows.u[r] += PaddedRank(change.a.out);
  }
}

bool SumGains(const LowRankTerms& terms, int64_t index, const float* LowRank::*gain, int64_t begin,
              int64_t count, float* factors) {
  bool any = false;
  for (const LowRankTerm& term : terms) {
    const float* own = term.change[index].*gain;
    if (own == nullptr) continue;
    own += begin;
    for (int64_t c = 0; c < count; ++c) factors[c] = (any ? factors[c] : 1.0f) + (own[c] - 1.0f);
    any = true;
  }
  return any;
}

void ExpandTerms(const LowRankTerms& terms, int64_t index, ExpandTile tile, Isa isa) {
  float factors[kMaxGroupPanels * kPanelColumns];
  if (SumGains(terms, index, &LowRank::gain, tile.gain_begin + tile.column, tile.end - tile.column,
               factors)) {
    ScaleColumns(factors, tile);
  }
  for (const LowRankTerm& term : terms) {
    const LowRank& change = term.change[index];
    if (change.a.empty()) continue;
    Expand(change, tile, isa);
    for (int r = 0; r < tile.rows; ++r) tile.u[r] += PaddedRank(change.a.out);
  }
}

void ScaleColumns(const float* factors, const ExpandTile& tile) {
  for (int r = 0; r < tile.rows; ++r) {
    for (int64_t c = 0; c < tile.end - tile.column; ++c) {
      tile.tile[r * tile.stride + c / kPanelColumns * tile.panel_stride + c % kPanelColumns] *= factors[c];
    }
  }
}

}  // namespace guildhall
#endif  // HWY_ONCE
