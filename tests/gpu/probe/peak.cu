// What the matrix units reach when nothing else is in the way, on random numbers: zeros
// would run faster.
#include <cstdint>
#include <string>

#include "kernels/cuda/ptx.h"
#include "tests/gpu/probe/device_array.h"
#include "tests/gpu/probe/operands.h"
#include "tests/gpu/probe/questions.h"
#include "tests/gpu/probe/wgmma.cuh"

namespace guildhall::probe {
namespace {

constexpr int kRounds = 4096;
constexpr int kSums = 8;  // of a warp, independent of each other

// Operands stay in registers.
__global__ void MmaPeak(const uint32_t* numbers, float* sink) {
  const uint32_t* mine = numbers + threadIdx.x % 32;
  uint32_t a[4] = {mine[0], mine[32], mine[64], mine[96]};
  uint32_t b[kSums][2];
  float d[kSums][4];
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    b[i][0] = mine[128 + 64 * i];
    b[i][1] = mine[160 + 64 * i];
#pragma unroll
    for (int j = 0; j < 4; ++j) d[i][j] = 0.0f;
  }
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) cuda::MmaBf16(d[i], a, b[i]);
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < kSums; ++i) sum += d[i][0] + d[i][1] + d[i][2] + d[i][3];
  if (sum == 0.125f) *sink = sum;
}

// Operands stay in shared memory: a (64, 64) and b (128, 64).
__global__ void __launch_bounds__(256) WgmmaPeak(const uint16_t* numbers, float* sink) {
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  std::byte* a_tile = cuda::DynamicShared() + threadIdx.x / 128 * (64 + 128) * 128;
  std::byte* b_tile = a_tile + 64 * 128;
  for (int i = static_cast<int>(threadIdx.x % 128); i < (64 + 128) * 8; i += 128) {
    reinterpret_cast<uint4*>(a_tile)[i] = reinterpret_cast<const uint4*>(numbers)[i];
  }
  float d[64];
#pragma unroll
  for (int i = 0; i < 64; ++i) d[i] = 0.0f;
  FenceProxy();
  __syncthreads();
  for (int round = 0; round < kRounds / 8; ++round) {
    WgmmaFence();
#pragma unroll
    for (uint64_t step = 0; step < 4; ++step) {
      Wgmma(d, Descriptor(a_tile) + 2 * step, Descriptor(b_tile) + 2 * step);
    }
    WgmmaCommit();
    WgmmaWait();
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 64; ++i) sum += d[i];
  if (sum == 0.125f) *sink = sum;
#endif
}

}  // namespace

void AskPeak() {
  int multiprocessors = 0, major = 0;
  Check(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), "attribute");
  Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "attribute");
  const DeviceArray<uint16_t> numbers(Bf16Numbers(size_t{64 + 128} * 64, 7));
  const DeviceArray<float> sink(1);
  const auto blocks = static_cast<unsigned>(multiprocessors) * 4;
  const double mma = Milliseconds(
      3, [&] { MmaPeak<<<blocks, 256>>>(reinterpret_cast<const uint32_t*>(numbers.get()), sink.get()); });
  Fact("mma.sync bf16, peak", 4096.0 * kSums * kRounds * 8 * blocks / mma / 1e9, "TFLOP/s");
  if (major != 9) return;
  constexpr int kShared = 2 * (64 + 128) * 128;
  Check(cudaFuncSetAttribute(WgmmaPeak, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared),
        "shared memory");
  const double wgmma =
      Milliseconds(3, [&] { WgmmaPeak<<<blocks, 256, kShared>>>(numbers.get(), sink.get()); });
  Fact("wgmma bf16 n128, peak", 2.0 * 64 * 128 * 64 * (kRounds / 8) * 2 * blocks / wgmma / 1e9, "TFLOP/s");
}

}  // namespace guildhall::probe
