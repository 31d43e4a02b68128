// What the tests of ops share: back ends that are ready for steps, random inputs, comparisons.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/device_array.h"
#include "tests/support/test_backends.h"

namespace guildhall {

// TestBackends() and, beside the CPU, the reference in memory that host code cannot touch: what every op is
// tested on.
std::vector<TestBackend> OpTestBackends();

// One of them, prepared for steps of up to 512 rows, 512 experts and 128 heads.
std::unique_ptr<Backend> MakeTestBackend(const TestBackend& on, int threads = 2);

// SplitMix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  int64_t Below(int64_t bound) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(bound)); }
  // In [-1, 1).
  float Float();
  std::vector<float> Floats(int64_t count);
  // 0 .. count-1 in random order.
  std::vector<int32_t> Permutation(int64_t count);

 private:
  uint64_t state_;
};

// Fails the running test at the first element with |actual - expected| > atol + rtol |expected|, or that is
// no number.
void RequireClose(std::span<const float> actual, std::span<const double> expected, double rtol, double atol);

inline bool SameBits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

}  // namespace guildhall
