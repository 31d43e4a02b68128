// Is wgmma equal to mma.sync, for every N?
#include <cstdint>
#include <string>
#include <vector>

#include "tests/gpu/probe/columns.h"
#include "tests/gpu/probe/device_array.h"
#include "tests/gpu/probe/operands.h"
#include "tests/gpu/probe/questions.h"
#include "tests/gpu/probe/wgmma.cuh"

namespace guildhall::probe {

namespace {

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
// A tile (rows, 64) of a matrix into shared memory, 16-byte pieces where the 128-byte
// swizzle has them.
__device__ inline void StageTile(const uint16_t* matrix, int k_size, int k, int rows, std::byte* tile) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * 8; i += static_cast<int>(blockDim.x)) {
    const int row = i / 8, piece = i % 8;
    const auto* from =
        reinterpret_cast<const uint4*>(matrix + static_cast<int64_t>(row) * k_size + k) + piece;
    *reinterpret_cast<uint4*>(tile + row * 128 + ((piece ^ (row % 8)) * 16)) = *from;
  }
}
#endif

// As MmaProduct with wgmma of N columns; k a multiple of 64. Shared memory: (64 + N) * 128 bytes.
template <int N>
__global__ void WgmmaProduct(const uint16_t* a, const uint16_t* b, float* y, int k_size) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  std::byte* a_tile = cuda::DynamicShared();
  std::byte* b_tile = a_tile + kRows * 128;
  float d[N / 2];
#pragma unroll
  for (int i = 0; i < N / 2; ++i) d[i] = 0.0f;
  for (int k = 0; k < k_size; k += 64) {
    StageTile(a, k_size, k, kRows, a_tile);
    StageTile(b, k_size, k, N, b_tile);
    FenceProxy();
    __syncthreads();
    WgmmaFence();
#pragma unroll
    for (uint64_t step = 0; step < 4; ++step) {
      Wgmma(d, Descriptor(a_tile) + 2 * step, Descriptor(b_tile) + 2 * step);
    }
    WgmmaCommit();
    WgmmaWait();
    __syncthreads();
  }
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  float* out = y + (static_cast<int>(threadIdx.x) / 32 * 16 + g) * N + 2 * t;
#pragma unroll
  for (int j = 0; j < N / 8; ++j) {
    out[8 * j] = d[4 * j];
    out[8 * j + 1] = d[4 * j + 1];
    out[8 * N + 8 * j] = d[4 * j + 2];
    out[8 * N + 8 * j + 1] = d[4 * j + 3];
  }
#endif
}

template <int N>
std::vector<float> WgmmaOf(const Matrix& a, const Matrix& b) {
  const DeviceArray<uint16_t> left(a), right(b);
  const DeviceArray<float> y(size_t{kRows} * N);
  WgmmaProduct<N><<<1, 128, (kRows + N) * 128>>>(left.get(), right.get(), y.get(), kSize);
  Check(cudaDeviceSynchronize(), "WgmmaProduct");
  return y.Read();
}

bool HasWgmma() {
  int major = 0;
  Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "attribute");
  return major == 9;
}

template <int N>
void AskWgmmaOf(const Matrix& a, const Matrix& b, const std::vector<float>& narrow) {
  const std::vector<float> found = WgmmaOf<N>(a, b);
  const std::vector<float> expected = MmaOf(a, b, N);
  const std::string name = "wgmma n" + std::to_string(N);
  Answer(name + " against mma.sync", DifferentBits(found.data(), expected.data(), found.size()),
         found.size());
  size_t different = 0;
  for (int column = 0; column < 8; ++column) {
    const std::vector<float> mine = ColumnOf(found, N, column), its = ColumnOf(narrow, 8, column);
    different += DifferentBits(mine.data(), its.data(), kRows);
  }
  Answer(name + " against wgmma n8, the first 8 columns", different, size_t{8} * kRows);
  AskPlaces(name, N, [](const Matrix& x, const Matrix& y) { return WgmmaOf<N>(x, y); });
}

}  // namespace

void AskWgmma() {
  if (!HasWgmma()) {
    Fact("wgmma", "not on this device");
    return;
  }
  const Matrix a = Bf16Numbers(size_t{kRows} * kSize, 21), b = Bf16Numbers(size_t{128} * kSize, 22);
  const std::vector<float> narrow = WgmmaOf<8>(a, b);
  AskWgmmaOf<8>(a, b, narrow);
  AskWgmmaOf<16>(a, b, narrow);
  AskWgmmaOf<32>(a, b, narrow);
  AskWgmmaOf<64>(a, b, narrow);
  AskWgmmaOf<128>(a, b, narrow);
}

}  // namespace guildhall::probe
