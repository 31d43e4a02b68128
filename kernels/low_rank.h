// Low-rank changes of products: y += scale * B (A x) for the rows whose task asks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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

// One adapter's change of one product. Views: the owner of the packed bytes outlives it.
struct LowRank {
  Matrix a;                        // (sum of the ranks, in), packed; empty with no parts
  std::vector<LowRankPart> parts;  // by ascending (module, out_begin); parts do not overlap
  // DoRA, whose B carries the factors already. Null: none.
  const float* gain =
      nullptr;  // (out of the product; gate's, then up's): multiplies W x before B A x is added
  const float* in_gain =
      nullptr;  // (in of the product): multiplies x for W x alone; in products of heads only

  bool empty() const { return a.empty() && gain == nullptr && in_gain == nullptr; }
};

// The changes of one feed-forward network.
struct FfnLowRank {
  LowRank gate_up;
  LowRank down;

  bool empty() const { return gate_up.empty() && down.empty(); }
};

// What a task applies to a product, in a fixed order: the terms of its adapters, each with the task's own
// factor. With gains g_i: W x * (1 + sum (g_i - 1)) + sum of scale_i B_i (A_i x).
struct LowRankTerm {
  const LowRank* change = nullptr;
  float scale = 1.0f;
};
using LowRankTerms = std::span<const LowRankTerm>;

// Of the heads of a head-wise product: change[head].
struct HeadLowRankTerm {
  const LowRank* change = nullptr;  // (heads)
  float scale = 1.0f;
};
using HeadLowRankTerms = std::span<const HeadLowRankTerm>;

// Of the experts of a layer: change[logical expert] (those without a change are empty); of a single network:
// change[0].
struct FfnLowRankTerm {
  const FfnLowRank* change = nullptr;  // (experts) or (1)
  float scale = 1.0f;
};
using FfnLowRankTerms = std::span<const FfnLowRankTerm>;

// The low-rank changes of an op's rows. Default-constructed: none, and the op runs the very same instructions
// as without adapters.
template <typename Terms>
struct LowRankRows {
  const int32_t* row_task = nullptr;  // (rows) index into tasks, or -1; equal ones should be neighbours
  std::span<const Terms> tasks;       // (tasks) the terms of each; may be empty for some
  float* workspace = nullptr;         // (rows or entries, stride) floats of the caller's
  int64_t stride = 0;                 // at least Backend::LowRankColumns of every task's terms

  bool none() const { return tasks.empty(); }
};

}  // namespace guildhall
