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
absl::Status PackLowRank(const PackParts& parts, const PackShape& shape, Isa isa, std::byte* destination);

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

// The changes `index` of all terms of a set (of a head, a logical expert; else 0). Their places in u follow
// each other.
void ShrinkTerms(const LowRankTerms& terms, int64_t index, ShrinkRows rows, std::byte* scratch,
                 const CpuContext& context);
void ExpandTerms(const LowRankTerms& terms, int64_t index, ExpandTile tile, Isa isa);

// factors[c] = 1 + sum of (gain[begin + c] - 1) over the terms that have one (gain or in_gain); false: none
// has.
bool SumGains(const LowRankTerms& terms, int64_t index, const float* LowRank::*gain, int64_t begin,
              int64_t count, float* factors);

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
