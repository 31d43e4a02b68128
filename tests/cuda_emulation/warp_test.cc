// What threads of a block do together.
#include <cstdint>
#include <numeric>

#include "kernels/cuda/ptx.h"
#include "tests/cuda_emulation/test_support.h"

namespace guildhall::emulation {
namespace {

using Catch::Matchers::Contains;

// A block of `threads` runs `body`, which gives each thread's result.
template <typename Body>
__global__ void Each(Body body, int* results) {
  results[threadIdx.x] = body(static_cast<int>(threadIdx.x));
}
template <typename Body>
std::vector<int> Run(unsigned threads, Body body, size_t shared_bytes = 0) {
  const Array<int> results(threads);
  REQUIRE(cuda::Launch(&Each<Body>, {1, threads, shared_bytes}, {}, body, results.data()) == cudaSuccess);
  return results.Read();
}

template <typename Value>
std::vector<int> Expected(unsigned threads, Value value) {
  std::vector<int> expected;
  for (unsigned i = 0; i < threads; ++i) expected.push_back(value(static_cast<int>(i)));
  return expected;
}

constexpr unsigned kAll = 0xffffffff;

TEST_CASE("what is written before a barrier is read behind it, in each order of the threads") {
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    const FreshDevices devices({.order = order});
    const auto reversed = Run(
        96,
        [](int thread) {
          int* const shared = reinterpret_cast<int*>(cuda::DynamicShared());
          for (int round = 0; round < 3; ++round) {
            shared[thread] = thread + round;
            __syncthreads();
            const int other = shared[95 - thread];
            __syncthreads();
            if (other != 95 - thread + round) return -1;
          }
          return shared[95 - thread] - 2;
        },
        96 * sizeof(int));
    CHECK(reversed == Expected(96, [](int thread) { return 95 - thread; }));
  }
}

TEST_CASE("lanes shuffle values within groups of a width") {
  CHECK(Run(64, [](int i) { return __shfl_sync(kAll, i, 5); }) ==
        Expected(64, [](int i) { return i / 32 * 32 + 5; }));
  CHECK(Run(32, [](int i) { return __shfl_sync(kAll, i, i + 1, 8); }) ==
        Expected(32, [](int i) { return i / 8 * 8 + (i + 1) % 8; }));
  CHECK(Run(32, [](int i) { return __shfl_xor_sync(kAll, i, 6); }) ==
        Expected(32, [](int i) { return i ^ 6; }));
  CHECK(Run(32, [](int i) { return __shfl_up_sync(kAll, i, 3); }) ==
        Expected(32, [](int i) { return i < 3 ? i : i - 3; }));
  CHECK(Run(32, [](int i) { return __shfl_down_sync(kAll, i, 3, 16); }) ==
        Expected(32, [](int i) { return i % 16 > 12 ? i : i + 3; }));
  CHECK(Run(32, [](int i) { return static_cast<int>(__shfl_xor_sync(kAll, 0.5 * i, 1) * 2); }) ==
        Expected(32, [](int i) { return i ^ 1; }));
}

TEST_CASE("lanes vote") {
  CHECK(Run(32, [](int i) { return static_cast<int>(__ballot_sync(kAll, i % 3 == 0)); }) ==
        Expected(32, [](int) { return 0x49249249; }));
  CHECK(Run(32, [](int i) { return __any_sync(kAll, i == 31) + 2 * __any_sync(kAll, i > 31); }) ==
        Expected(32, [](int) { return 1; }));
  CHECK(Run(32, [](int i) {
          return (__all_sync(kAll, i < 32) ? 1 : 0) + (__all_sync(kAll, i > 0) ? 2 : 0);
        }) == Expected(32, [](int) { return 1; }));
}

TEST_CASE("parts of a warp meet by themselves, in branches of their own") {
  const auto sums = Run(32, [](int i) {
    const unsigned half = i < 16 ? 0x0000ffffu : 0xffff0000u;
    int sum = i;
    if (i < 16) {
      for (int lanes = 8; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(half, sum, lanes);
    } else {
      sum = 1;
      for (int lanes = 8; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(half, sum, lanes);
    }
    __syncwarp();
    return sum;
  });
  CHECK(sums == Expected(32, [](int i) { return i < 16 ? 120 : 16; }));
}

TEST_CASE("a block of 1000 threads has a last warp that is not full, and threads may end early") {
  const auto counted = Run(
      1000,
      [](int i) {
        auto* const count = reinterpret_cast<int*>(cuda::DynamicShared());
        if (i == 0) *count = 0;
        __syncthreads();
        if (i >= 992) return -1;
        atomicAdd(count, 1);
        __syncthreads();
        return *count;
      },
      sizeof(int));
  CHECK(counted == Expected(1000, [](int i) { return i < 992 ? 992 : -1; }));
}

template <typename Body>
std::string EndOfKernel(unsigned threads, Body body) {
  return EndOf([&] { (void)Run(threads, body); });
}

TEST_CASE("a barrier that not all reach is reported with who waits where") {
  const std::string end = EndOfKernel(64, [](int i) {
    if (i < 40)
      __syncthreads();
    else if (i >= 32)
      __syncwarp();
    return 0;
  });
  CHECK_THAT(end, Contains("kernel Each<") && Contains("the block hangs: 40 of 64 threads") &&
                      Contains("of warp 1 wait at __syncwarp for lanes 0 1 2 3 4 5 6 7"));
}

TEST_CASE("lanes that a mask lacks take no part") {
  CHECK_THAT(EndOfKernel(32, [](int i) { return i < 8 ? __shfl_sync(0xff, i, 9) : 0; }),
             Contains("__shfl_sync reads lane 9, which its mask lacks"));
  CHECK_THAT(EndOfKernel(32, [](int) { return __any_sync(0xff, 1); }),
             Contains("its mask lacks the calling lane 8"));
  CHECK_THAT(EndOfKernel(8, [](int i) { return __shfl_xor_sync(kAll, i, 1); }),
             Contains("its mask has lanes that ended or never were: 8 9"));
}

TEST_CASE(
    "a lane that ends instead of meeting is reported, and so are lanes that meet for different things") {
  CHECK_THAT(EndOfKernel(32, [](int i) { return i < 31 ? __shfl_xor_sync(kAll, i, 1) : 0; }),
             Contains("__shfl_xor_sync: lane 31 ended, and lanes 0 1 2"));
  CHECK_THAT(EndOfKernel(32,
                         [](int i) {
                           if (i < 16) return __shfl_xor_sync(kAll, i, 1);
                           return __any_sync(kAll, 1);
                         }),
             Contains("__any_sync: lanes 0 1 2") && Contains("wait at __shfl_xor_sync"));
}

}  // namespace
}  // namespace guildhall::emulation
