// A tensor that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "base/dtype.h"

namespace guildhall {

// Dense, row-major, read-only. `data` need not be aligned
// (safetensors promises nothing) and lives as long as its owner.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;

  int64_t Elements() const {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                           [](int64_t a, int64_t b) { return a * b; });
  }
  size_t Bytes() const { return static_cast<size_t>(Elements()) * DTypeSize(dtype); }

  // Rows [begin, end) of the first dimension; the view keeps its other dimensions.
  TensorView Rows(int64_t begin, int64_t end) const {
    TensorView rows = *this;
    rows.shape[0] = end - begin;
    const int64_t row = shape[0] == 0 ? 0 : Elements() / shape[0];
    rows.data = data + static_cast<size_t>(begin * row) * DTypeSize(dtype);
    return rows;
  }

  // "[64, 2048]"
  std::string ShapeText() const {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + "]";
  }
};

}  // namespace guildhall
