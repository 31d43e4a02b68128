// Weight matrices in the layout that a backend's kernels read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/weight_format.h"

namespace guildhall {

// A packed (out, in) matrix for y = W x. A view: the owner of the packed bytes outlives it. The layout is the
// back end's own: Backend::PackFrom writes it, and ops of back ends with the same layout() read it.
struct Matrix {
  int64_t out = 0;
  int64_t in = 0;
  WeightFormat format = WeightFormat::kF32;
  const std::byte* data = nullptr;

  bool empty() const { return data == nullptr; }
};

// The matrices of all heads of a head-wise product, in heads of equal shape.
struct HeadMatrices {
  Matrix first;  // of head 0
  int64_t heads = 0;
  size_t head_stride = 0;  // bytes from one head's packed bytes to the next

  bool empty() const { return first.empty(); }
  Matrix operator[](int64_t head) const {
    Matrix matrix = first;
    matrix.data += static_cast<size_t>(head) * head_stride;
    return matrix;
  }
};

// One feed-forward network silu(gate x) * (up x) -> down: an expert, a shared expert or a dense layer.
struct FfnWeights {
  Matrix gate_up;                    // PackShape::GateUp: out = 2 * width
  Matrix down;                       // (hidden, width)
  const float* gate_bias = nullptr;  // (width) or null
  const float* up_bias = nullptr;    // (width) or null
  const float* down_bias = nullptr;  // (hidden) or null
};

}  // namespace guildhall
