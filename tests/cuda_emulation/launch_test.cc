// Launches: indices, order, limits, arguments, shared memory, counters.
#include <array>
#include <cstdint>
#include <cstring>

#include "kernels/cuda/ptx.h"
#include "tests/cuda_emulation/test_support.h"

namespace guildhall::emulation {
namespace {

using Catch::Matchers::Contains;

__global__ void WriteIndices(uint3* threads, uint3* blocks) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned place = block * blockDim.x * blockDim.y * blockDim.z + thread;
  threads[place] = threadIdx;
  blocks[place] = blockIdx;
}

TEST_CASE("each thread of each block runs once and knows its place, x fastest") {
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    const FreshDevices devices({.order = order});
    constexpr size_t kCount = 3 * 2 * 2 * 5 * 4 * 2;
    const Array<uint3> threads(kCount), blocks(kCount);
    REQUIRE(cuda::Launch(&WriteIndices, {dim3(3, 2, 2), dim3(5, 4, 2)}, {}, threads.data(), blocks.data()) ==
            cudaSuccess);
    const auto thread = threads.Read(), block = blocks.Read();
    for (unsigned i = 0; i < kCount; ++i) {
      INFO(i);
      const unsigned in_block = i % 40, of_grid = i / 40;
      CHECK((thread[i].x == in_block % 5 && thread[i].y == in_block / 5 % 4 && thread[i].z == in_block / 20));
      CHECK((block[i].x == of_grid % 3 && block[i].y == of_grid / 3 % 2 && block[i].z == of_grid / 6));
    }
  }
}

__global__ void CountOrder(unsigned* next, unsigned* order) {
  order[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(next, 1u);
}

std::vector<unsigned> OrderOf(Order order) {
  const FreshDevices devices({.order = order});
  const Array<unsigned> next(std::vector<unsigned>{0}), places(12);
  REQUIRE(cuda::Launch(&CountOrder, {3, 4}, {}, next.data(), places.data()) == cudaSuccess);
  return places.Read();
}

TEST_CASE("blocks and threads go forward, backward, or shuffled the same way each time") {
  CHECK(OrderOf(Order::kForward) == std::vector<unsigned>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(OrderOf(Order::kBackward) == std::vector<unsigned>{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0});
  CHECK(OrderOf(Order::kShuffled) != OrderOf(Order::kForward));
  CHECK(OrderOf(Order::kShuffled) == OrderOf(Order::kShuffled));
}

__global__ void Nothing() {}

cudaError_t LaunchNothing(dim3 grid, dim3 block, size_t shared_bytes = 0) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  return cudaLaunchKernelEx(&config, &Nothing);
}

TEST_CASE("a launch beyond the device's limits is refused") {
  const FreshDevices devices;
  CHECK(LaunchNothing(1, 1024) == cudaSuccess);
  CHECK(LaunchNothing(1, 1025) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(1, dim3(33, 32)) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(1, dim3(1, 1, 65)) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(1, 0) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(0, 1) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(dim3(1, 65536), 1) == cudaErrorInvalidConfiguration);
  CHECK(LaunchNothing(1, 1, 48 << 10) == cudaSuccess);
  CHECK(LaunchNothing(1, 1, (48 << 10) + 1) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaSuccess);
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(&Nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  CHECK(allow(232449) == cudaErrorInvalidValue);
  CHECK(allow(232448) == cudaSuccess);
  CHECK(LaunchNothing(1, 1, 232448) == cudaSuccess);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

struct Large {
  std::array<int, 100> values;
};
__global__ void WriteLarge(Large large, int* sum) {
  int total = 0;
  for (const int value : large.values) total += value;
  *sum = total;
}

TEST_CASE("arguments are those of the launch, whatever becomes of them before the kernel runs") {
  const Array<int> sum(1);
  Large large = {};
  large.values.fill(3);
  REQUIRE(cuda::Launch(&WriteLarge, {1, 1}, {}, large, sum.data()) == cudaSuccess);
  large.values.fill(4);
  CHECK(sum.Read() == std::vector<int>{300});
}

// 1: aligned and full of 0xff. Leaves something there.
__global__ void LookAtShared(int* fresh, int words) {
  auto* const shared = reinterpret_cast<int*>(cuda::DynamicShared());
  bool poisoned = reinterpret_cast<uintptr_t>(shared) % 1024 == 0;
  for (int i = 0; i < words; ++i) poisoned = poisoned && shared[i] == -1;
  for (int i = 0; i < words; ++i) shared[i] = 0;
  fresh[blockIdx.x] = poisoned ? 1 : 0;
}

TEST_CASE("shared memory is fresh for each block") {
  const Array<int> fresh(4);
  REQUIRE(cuda::Launch(&LookAtShared, {4, 1, 100}, {}, fresh.data(), 25) == cudaSuccess);
  CHECK(fresh.Read() == std::vector<int>{1, 1, 1, 1});
}

__global__ void WriteShared(int place) {
  cuda::DynamicShared()[place] = std::byte{1};
}

TEST_CASE("what is far behind the block's shared memory faults") {
  CHECK_THAT(EndOf([] {
               (void)cuda::Launch(&WriteShared, {1, 1, 1024}, {}, 1024);
               (void)cudaDeviceSynchronize();
             }),
             Contains("kernel WriteShared"));
}

template <typename T>
__global__ void Named(T) {}

TEST_CASE("launches, synchronizations and copies are counted") {
  const FreshDevices devices;
  REQUIRE(cuda::Launch(&Nothing, {4, 1}, {}) == cudaSuccess);
  REQUIRE(cuda::Launch(&Nothing, {2, 1}, {}) == cudaSuccess);
  REQUIRE(cuda::Launch(&Named<const float*>, {1, 1}, {}, nullptr) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  (void)Array<int>(std::vector<int>{1, 2, 3}).Read();
  const Counts counts = EmulatedDevice::TakeCounts();
  CHECK(counts.kernels.at("Nothing").launches == 2);
  CHECK(counts.kernels.at("Nothing").blocks == 6);
  CHECK(counts.kernels.at("Named<float const*>").launches == 1);
  CHECK(counts.synchronizations == 3);
  CHECK(counts.uploads == 1);
  CHECK(counts.uploaded_bytes == 12);
  CHECK(counts.downloads == 1);
  CHECK(counts.downloaded_bytes == 12);
  CHECK(EmulatedDevice::TakeCounts().kernels.empty());
}

}  // namespace
}  // namespace guildhall::emulation
