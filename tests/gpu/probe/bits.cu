// How mma.sync rounds: a column wherever it stands, and the order and exactness of a sum.
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "tests/gpu/probe/columns.h"
#include "tests/gpu/probe/device_array.h"
#include "tests/gpu/probe/operands.h"
#include "tests/gpu/probe/questions.h"
#include "tests/gpu/probe/sum_models.h"

namespace guildhall::probe {

namespace {

// Two neighbours in k as one register.
__device__ inline uint32_t PairAt(const uint16_t* matrix, int k_size, int row, int k) {
  return *reinterpret_cast<const uint32_t*>(matrix + static_cast<int64_t>(row) * k_size + k);
}

// Block of 128 threads: y (64, columns) = a (64, k) b (columns, k)^T; `columns` a multiple of 8, k
// of 16.
__global__ void MmaProduct(const uint16_t* a, const uint16_t* b, float* y, int columns, int k_size) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int row = static_cast<int>(threadIdx.x) / 32 * 16 + g;
  for (int n = 0; n < columns; n += 8) {
    float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int k = 0; k < k_size; k += 16) {
      const uint32_t left[4] = {PairAt(a, k_size, row, k + 2 * t), PairAt(a, k_size, row + 8, k + 2 * t),
                                PairAt(a, k_size, row, k + 2 * t + 8),
                                PairAt(a, k_size, row + 8, k + 2 * t + 8)};
      const uint32_t right[2] = {PairAt(b, k_size, n + g, k + 2 * t),
                                 PairAt(b, k_size, n + g, k + 2 * t + 8)};
      cuda::MmaBf16(d, left, right);
    }
    float* out = y + row * columns + n + 2 * t;
    out[0] = d[0];
    out[1] = d[1];
    out[8 * columns] = d[2];
    out[8 * columns + 1] = d[3];
  }
}

}  // namespace

std::vector<float> MmaOf(const Matrix& a, const Matrix& b, int columns) {
  const DeviceArray<uint16_t> left(a), right(b);
  const DeviceArray<float> y(static_cast<size_t>(kRows) * static_cast<size_t>(columns));
  Check(cuda::Launch(MmaProduct, {1, 128}, {}, static_cast<const uint16_t*>(left.get()),
                     static_cast<const uint16_t*>(right.get()), y.get(), columns, kSize),
        "MmaProduct");
  Check(cudaDeviceSynchronize(), "MmaProduct");
  return y.Read();
}

void AskColumns() {
  AskPlaces("mma.sync bf16", 8, [](const Matrix& a, const Matrix& b) { return MmaOf(a, b, 8); });
}

void AskSums() {
  const Matrix a = Bf16Numbers(size_t{kRows} * kSize, 11), b = Bf16Numbers(size_t{8} * kSize, 12);
  const std::vector<float> found = MmaOf(a, b, 8);
  const auto row_of = [](const Matrix& matrix, int row) {
    std::vector<float> values;
    for (int k = 0; k < kSize; ++k)
      values.push_back(BF16ToFloat(matrix[static_cast<size_t>(row * kSize + k)]));
    return values;
  };
  const auto ask = [&](const std::string& name, const auto& model) {
    std::vector<float> expected;
    for (int row = 0; row < kRows; ++row) {
      for (int column = 0; column < 8; ++column) expected.push_back(model(row_of(a, row), row_of(b, column)));
    }
    Answer("mma.sync against " + name, DifferentBits(found.data(), expected.data(), found.size()),
           found.size());
  };
  ask("float sums in the order of k", [](const auto& x, const auto& y) { return SumInOrder(x, y); });
  for (const size_t block : {size_t{4}, size_t{8}, size_t{16}}) {
    for (const int bits : {23, 24, 25, 26}) {
      ask("blocks of " + std::to_string(block) + " cut " + std::to_string(bits) + " bits down",
          [&](const auto& x, const auto& y) { return SumInBlocks(x, y, block, bits); });
    }
  }
}

}  // namespace guildhall::probe
