// Where in a PEFT file the two factors of one low-rank change lie.
#pragma once

#include <cstdint>

#include "adapters/adapter_files.h"
#include "weights/adapter_source.h"

namespace guildhall {

enum class FactorLayout : uint8_t {
  kPlain,  // a: (rank, in), b: (out, rank)
  // All experts of a layer in two matrices, a's rows expert by expert and b's columns rank by rank (the
  // expert is the faster index).
  kStacked,            // a: (experts * rank, in), b: (out, experts * rank)
  kStackedTransposed,  // the change is (b a)^T. a: (experts * rank, out), b: (in, experts * rank)
};

struct LowRankPlace {
  FactorLayout layout = FactorLayout::kPlain;
  const AdapterTensor* a = nullptr;
  const AdapterTensor* b = nullptr;
  const AdapterTensor* magnitude = nullptr;  // (out): DoRA
  // Stacked.
  int experts = 0, expert = 0;
  int64_t out_begin = 0;  // the first of the change's outputs among the parameter's: up lies behind gate
};

struct PlacedChange {
  LowRankChange change;
  LowRankPlace place;
};

// In which both factors are kept: BF16 if both are, and nothing multiplies them; F32 for all else, and beside
// a base of `base` F32, whose activations no product may round.
inline DType FactorDType(const LowRankPlace& place, DType base) {
  const bool narrow = base != DType::kF32 && place.a->dtype == DType::kBF16 && place.b->dtype == DType::kBF16;
  return narrow && place.magnitude == nullptr ? DType::kBF16 : DType::kF32;
}

}  // namespace guildhall
