// Numbers for questions about bits: the same on every machine.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/dtype.h"

namespace guildhall::probe {

// In [-1, 1), spread over exponents as weights and activations are: a product of two
// uniform numbers.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) : state_(seed * 2654435761u + 1) {}
  float Next() { return Uniform() * Uniform(); }

 private:
  float Uniform() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(state_ >> 33) - (1 << 30)) * (1.0f / (1 << 30));
  }
  uint64_t state_;
};

inline std::vector<uint16_t> Bf16Numbers(size_t count, uint64_t seed) {
  Numbers numbers(seed);
  std::vector<uint16_t> made(count);
  for (uint16_t& number : made) number = FloatToBF16(numbers.Next());
  return made;
}

// How many of two equally long rows of floats differ in a bit.
inline size_t DifferentBits(const float* a, const float* b, size_t count) {
  size_t different = 0;
  for (size_t i = 0; i < count; ++i)
    different += std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i]);
  return different;
}

}  // namespace guildhall::probe
