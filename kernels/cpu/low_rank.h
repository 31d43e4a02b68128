// Low-rank changes inside the products: shrink (u = A x) before the loop over the weights, expand (+ B u) on
// each finished tile, before its epilogue.
//
// A packed B is a row of panels of 16 outputs, each (rank, 16), that begin where the product's panels do;
// zeros stand before out_begin and behind the end, so that whole panels are added. Every output element is
// one chain of multiply-adds over the rank in ascending order on top of the base's sum, so a row's bits do
// not depend on its neighbours.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/tensor_view.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/cpu/packing.h"
#include "kernels/low_rank.h"

namespace guildhall {

// Of PackShape::LowRankB.
size_t PackedLowRankBytes(const PackShape& shape);
void PackLowRank(const TensorView& b, const PackShape& shape, std::byte* destination);

// A x of one change occupies so many floats: its rank, rounded up to whole panels.
constexpr int64_t PaddedRank(int64_t rank) {
  return RoundUp(rank, kPanelColumns);
}

// Most rows that are shrunk at a time.
inline constexpr int kShrinkRows = 4 * kMaxTileRows;

// Bytes that shrinking wants of Scratch::Worker() for steps within `limits`.
size_t ShrinkScratchBytes(const StepLimits& limits);

// Rows with the same changes, on their way into the small space.
struct ShrinkRows {
  int rows = 0;                     // at most kShrinkRows
  bool bf16 = false;                // the rows of x are bf16, padded to an even length; else float
  const void* x[kShrinkRows] = {};  // (in)
  float* u[kShrinkRows] = {};       // (PaddedRank) out
};

// u = factor * part.scale * A x. `scratch`: the worker's.
void Shrink(const LowRank& change, float factor, const ShrinkRows& rows, std::byte* scratch,
            const CpuContext& context);

// Some panels of the finished sums of rows with the same changes.
struct ExpandTile {
  float* tile = nullptr;  // (rows, stride)
  int64_t stride = kTileStride;
  int rows = 0;                       // at most kMaxTileRows
  const float* u[kMaxTileRows] = {};  // what Shrink() gave, per row
  int32_t module = 0;                 // whose columns they are
  int64_t gain_begin = 0;             // of the module among the gains
  int64_t column = 0;                 // the module's column of the first panel's first
  int64_t end = 0;                    // the module's first column that the panels must not reach
  int panels = 0;
  int64_t panel_stride = kPanelColumns;  // floats from panel to panel
};

// tile += B u, over the parts that have these columns.
void Expand(const LowRank& change, const ExpandTile& tile, Isa isa);
// tile *= factors; `factors` (end - column).
void ScaleColumns(const float* factors, const ExpandTile& tile);

// All terms of a task; pick(term) is a term's change of this product. The terms' places in u follow each
// other.
template <typename Terms, typename Pick>
void ShrinkTerms(const Terms& terms, Pick pick, ShrinkRows rows, std::byte* scratch,
                 const CpuContext& context) {
  for (const auto& term : terms) {
    const LowRank& change = pick(term);
    if (change.a.empty()) continue;
    Shrink(change, term.scale, rows, scratch, context);
    for (int r = 0; r < rows.rows; ++r) rows.u[r] += PaddedRank(change.a.out);
  }
}

// factors[c] = 1 + sum of (gain[c] - 1) over the terms that have one; false: none has.
template <typename Terms, typename GainOf>
bool SumGains(const Terms& terms, GainOf gain_of, int64_t count, float* factors) {
  bool any = false;
  for (const auto& term : terms) {
    const float* gain = gain_of(term);
    if (gain == nullptr) continue;
    for (int64_t c = 0; c < count; ++c) factors[c] = (any ? factors[c] : 1.0f) + (gain[c] - 1.0f);
    any = true;
  }
  return any;
}

template <typename Terms, typename Pick>
void ExpandTerms(const Terms& terms, Pick pick, ExpandTile tile, Isa isa) {
  float factors[kMaxGroupPanels * kPanelColumns];
  const auto gain_of = [&](const auto& term) -> const float* {
    const float* gain = pick(term).gain;
    return gain == nullptr ? nullptr : gain + tile.gain_begin + tile.column;
  };
  if (SumGains(terms, gain_of, tile.end - tile.column, factors)) ScaleColumns(factors, tile);
  for (const auto& term : terms) {
    const LowRank& change = pick(term);
    if (change.a.empty()) continue;
    Expand(change, tile, isa);
    for (int r = 0; r < tile.rows; ++r) tile.u[r] += PaddedRank(change.a.out);
  }
}

// body(first, last) for the maximal runs of [begin, end) whose key_of() is the same and not negative, at most
// `most` long.
template <typename KeyOf, typename Body>
void ForRuns(int64_t begin, int64_t end, int64_t most, KeyOf key_of, Body body) {
  while (begin < end) {
    const auto key = key_of(begin);
    int64_t last = begin + 1;
    while (last < end && last - begin < most && key_of(last) == key) ++last;
    if (key >= 0) body(begin, last);
    begin = last;
  }
}

}  // namespace guildhall
