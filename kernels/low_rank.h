// Low-rank changes of products, as ops read them: y += scale * B (A x) for the rows whose set asks for it.
//
// Plain data in device memory, built once: descriptors of changes when an adapter is published, tables of
// terms when a set is made. Their owners keep them while a step may read them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "kernels/matrix.h"

namespace guildhall {

// One module of a product. A product may stack several (q, k and v; gate and up): each has its own part.
struct LowRankPart {
  int32_t module = 0;      // of a network's first product: 0 gate, 1 up; of other products: 0
  int64_t out_begin = 0;   // its first output among the product's; of a network's first product: the module's
  int64_t out = 0;         // how many
  int64_t rank_begin = 0;  // its first row of `LowRank::a`
  int64_t rank = 0;
  float scale = 1.0f;            // multiplies A x, in fp32
  DType dtype = DType::kF32;     // of b
  const std::byte* b = nullptr;  // packed: PackShape::LowRankB
};

// One adapter's change of one matrix.
struct LowRank {
  Matrix a;                            // (sum of the ranks, in), packed; empty with no parts
  const LowRankPart* parts = nullptr;  // (part_count) by ascending (module, out_begin), without overlap
  int64_t part_count = 0;
  // DoRA, whose B carries the factors already. Null: none.
  const float* gain = nullptr;     // (out; gate's, then up's): multiplies W x before B A x is added
  const float* in_gain = nullptr;  // (in): multiplies x for W x alone; in products of heads only

  bool empty() const { return a.empty() && gain == nullptr && in_gain == nullptr; }
};

// What one adapter of a set adds to a product. A product of heads has a change for each head, one of routed
// experts for each logical expert (some of them empty), any other has one.
struct LowRankTerm {
  const LowRank* change = nullptr;  // (heads), (experts) or (1)
  float scale = 1.0f;               // the task's own factor
};

// A set's terms of one product, in the set's order. With gains g_i: W x * (1 + sum (g_i - 1)) + sum of
// scale_i B_i (A_i x).
struct LowRankTerms {
  const LowRankTerm* terms = nullptr;
  int64_t count = 0;

  bool empty() const { return count == 0; }
  const LowRankTerm* begin() const { return terms; }
  const LowRankTerm* end() const { return terms + count; }
};

// What an adapter set changes. Products and expert maps have the numbers that the model gave them.
struct SetTable {
  const LowRankTerms* products = nullptr;       // (products); those that the set leaves alone have no terms
  const int32_t* const* expert_maps = nullptr;  // (maps) each (experts) -> slot, -1: none; null: identity
};

// A maximal run of rows of one set, cut where a back end wants it shorter; base rows are in none.
struct RowSegment {
  int32_t begin = 0, end = 0;
  int32_t set = 0;
};

// The sets of some rows: those of a step, or of its logits. Made by Backend::BeginStep.
struct RowSets {
  const SetTable* tables = nullptr;      // (sets); null: every row is the base's
  const int32_t* set = nullptr;          // (rows) index into tables, -1: base; equal ones are neighbours
  const RowSegment* segments = nullptr;  // (segment_count) ascending
  int64_t segment_count = 0;

  bool none() const { return tables == nullptr; }
};

// The low-rank changes of an op's rows. Default-constructed: none, and the op runs the very same instructions
// as without adapters.
struct LowRankRows {
  RowSets rows = {};
  int32_t product = -1;        // whose terms
  float* workspace = nullptr;  // (rows, rows * heads, or entries; stride) floats of the caller's
  int64_t stride = 0;          // at least the sum of Backend::LowRankColumns over the terms of every set

  bool none() const { return rows.none(); }
  const LowRankTerms& Terms(int32_t set) const { return rows.tables[set].products[product]; }
};

}  // namespace guildhall
