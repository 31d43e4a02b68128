// What the figures are aimed at.
#pragma once

#include <string>

#include "bench/forward_bench.h"
#include "kernels/weight_format.h"

namespace guildhall {

struct Mark {
  enum class Side { kNone, kAtLeast, kAtMost };
  Side side = Side::kNone;
  double value = 0.0;

  static Mark AtLeast(double value) { return {Side::kAtLeast, value}; }
  static Mark AtMost(double value) { return {Side::kAtMost, value}; }

  bool set() const { return side != Side::kNone; }
  bool Reached(double found) const;  // true where there is none
  std::string Text() const;          // ">= 0.95"; "" where there is none
};

// The share that a case is to reach with weights of `format`. `avx512`: at a level with bf16 and int8 dot
// products over 512 bits. Shapes other than "small" have the marks of "olmoe".
Mark CaseMark(const std::string& shape, const BenchCase& bench_case, WeightFormat format, bool avx512);

}  // namespace guildhall
