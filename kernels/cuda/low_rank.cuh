// Low-rank changes inside products: shrink (u = scale * A x) in a kernel before the product's, expand (+ B u)
// on each finished sum, before the rest of its epilogue. A row's changes are those of its own set, in the
// set's order; each is one chain of multiply-adds over its rank in ascending order on top of W x.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/product_tile.cuh"
#include "kernels/cuda/weight_layout.h"
#include "kernels/low_rank.h"

namespace guildhall::cuda {

// Of a row; without any for base rows.
__device__ inline LowRankTerms TermsOf(const LowRankRows& rows, int64_t row) {
  if (rows.rows.tables == nullptr) return {};
  const int32_t set = rows.rows.set[row];
  return set < 0 ? LowRankTerms{} : rows.rows.tables[set].products[rows.product];
}

// sum += B u of one output of a part; u(r): element r of the part's A x.
template <typename U>
__device__ inline float Expand(const LowRankPart& part, int64_t output, U u, float sum) {
  if (part.dtype == DType::kBF16) {
    const auto* b = reinterpret_cast<const uint16_t*>(part.b);
    for (int64_t r = 0; r < part.rank; ++r) {
      const uint32_t bits = b[PlaceInB(part.out, output, r)];
      sum = __fmaf_rn(u(r), __uint_as_float(bits << 16), sum);
    }
  } else {
    const auto* b = reinterpret_cast<const float*>(part.b);
    for (int64_t r = 0; r < part.rank; ++r) sum = __fmaf_rn(u(r), b[PlaceInB(part.out, output, r)], sum);
  }
  return sum;
}

// One output of a product with changes.
struct ChangedOutput {
  int64_t index = 0;   // of the head or logical expert whose changes they are
  int32_t module = 0;  // as LowRankPart::module
  int64_t output = 0;  // of the module
  int64_t gain = 0;    // its place among the gains
};

// What ShrinkTerms gave for a row.
struct ShrunkRow {
  const float* u;

  __device__ float At(const LowRankTerm&, const LowRankPart& part, int64_t begin, int64_t r) const {
    return u[begin + part.rank_begin + r];
  }
};

// W x of one row with the changes `terms`. `u`: as ShrunkRow, whose `begin` is where the term's begins.
template <typename U>
__device__ inline float ApplyTerms(const LowRankTerms& terms, const ChangedOutput& at, const U& u,
                                   float sum) {
  float factor = 1.0f;
  bool gains = false;
  for (int64_t i = 0; i < terms.count; ++i) {
    const float* gain = terms.terms[i].change[at.index].gain;
    if (gain == nullptr) continue;
    factor += gain[at.gain] - 1.0f;
    gains = true;
  }
  if (gains) sum *= factor;
  int64_t begin = 0;
  for (int64_t i = 0; i < terms.count; ++i) {
    const LowRankTerm& term = terms.terms[i];
    const LowRank& change = term.change[at.index];
    if (change.a.data == nullptr) continue;
    for (int64_t p = 0; p < change.part_count; ++p) {
      const LowRankPart& part = change.parts[p];
      const int64_t output = at.output - part.out_begin;
      if (part.module != at.module || output < 0 || output >= part.out) continue;
      sum = Expand(
          part, output, [&](int64_t r) { return u.At(term, part, begin, r); }, sum);
    }
    begin += change.a.out;
  }
  return sum;
}

// What multiplies element r of A x.
__device__ inline float ScaleOf(const LowRank& change, float factor, int64_t r) {
  for (int64_t p = 0; p < change.part_count; ++p) {
    const LowRankPart& part = change.parts[p];
    if (r >= part.rank_begin && r < part.rank_begin + part.rank) return part.scale * factor;
  }
  return 0.0f;
}

// Block. u of up to kTokens rows with the same changes, in place(token): those of the terms one behind the
// other, each of its rank. `shared`: kPlainProductBytes<1, kTokens>.
template <int kTokens, typename Rows, typename Place>
__device__ inline void ShrinkTerms(const LowRankTerms& terms, int64_t index, const Rows& rows, int tokens,
                                   Place place, std::byte* shared) {
  int64_t begin = 0;
  for (int64_t i = 0; i < terms.count; ++i) {
    const LowRank& change = terms.terms[i].change[index];
    const Matrix& a = change.a;
    if (a.data == nullptr) continue;
    const TileLayout layout{a.format, 1, a.out, a.in};
    for (int64_t strip = 0; strip < layout.strips(); ++strip) {
      const ProductSums sums =
          MultiplyPlainStrip<1, kTokens>(StripOf(a.data, layout, strip), rows, tokens, shared);
      for (int item = static_cast<int>(threadIdx.x); item < tokens * kStripOutputs; item += kProductThreads) {
        const int token = item / kStripOutputs, output = item % kStripOutputs;
        const int64_t r = strip * kStripOutputs + output;
        if (r >= a.out) continue;
        place(token)[begin + r] = sums.At(0, token, output) * ScaleOf(change, terms.terms[i].scale, r);
      }
    }
    begin += a.out;
  }
}

}  // namespace guildhall::cuda
