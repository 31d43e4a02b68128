// What a back end packs: the shape of a matrix before its bytes are there, and the parts that it is made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/statusor.h"
#include "base/tensor_view.h"
#include "kernels/matrix.h"
#include "kernels/weight_format.h"

namespace guildhall {

struct PackShape {
  enum class Kind {
    kStack,     // parts (out_i, in) stacked by rows in order, as one product (q, k and v)
    kGateUp,    // parts gate (out / 2, in) and up (out / 2, in), for the fused feed-forward network
    kLowRankB,  // one part: B (out, in = rank) of a LowRankPart; F32 or BF16
  };
  Kind kind = Kind::kStack;
  WeightFormat format = WeightFormat::kF32;
  int64_t out = 0, in = 0;
  int64_t out_begin = 0;  // kLowRankB: LowRankPart::out_begin

  static PackShape Stack(WeightFormat format, int64_t out, int64_t in) {
    return {Kind::kStack, format, out, in, 0};
  }
  static PackShape GateUp(WeightFormat format, int64_t width, int64_t in) {
    return {Kind::kGateUp, format, 2 * width, in, 0};
  }
  static PackShape LowRankB(WeightFormat format, int64_t out_begin, int64_t out, int64_t rank) {
    return {Kind::kLowRankB, format, out, rank, out_begin};
  }

  // What was packed to `home`, a device address.
  Matrix At(const std::byte* home) const { return {out, in, format, home}; }
};

// Parts that are read while they are packed.
struct PackParts {
  std::span<const int64_t> rows;  // of each part
  // Rows [begin, end) of a part, which stay until the part is asked again. A back end asks for each row once,
  // in ascending order, for few enough at a time that they are still in a cache when it packs them.
  std::function<absl::StatusOr<TensorView>(size_t part, int64_t begin, int64_t end)> read;
};

}  // namespace guildhall
