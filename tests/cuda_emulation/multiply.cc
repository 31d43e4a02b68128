// mma.sync: the last lane of a warp multiplies for all.
#include <cstring>

#include "emulated/ptx_instructions.h"
#include "emulated/warp.h"

namespace guildhall::emulation {
namespace {

using Row = float __attribute__((vector_size(32)));  // of the 8 columns

struct Operands {
  float* d;           // (16, 8): (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)
  const uint32_t* a;  // (16, K): rows g and g + 8 in turn, first half of k, then the second
  const uint32_t* b;  // (K, 8): column g, first half of k, then the second
};

// The two 16-bit elements of a register, the first in its lower half.
struct Bf16 {
  static constexpr int kDepth = 16, kPerRegister = 2;
  static float Element(uint32_t bits, int i) {
    return __builtin_bit_cast(float, i == 0 ? bits << 16 : bits & 0xffff0000u);
  }
};
struct F16 {
  static constexpr int kDepth = 16, kPerRegister = 2;
  static float Element(uint32_t bits, int i) {
    return static_cast<float>(__builtin_bit_cast(_Float16, static_cast<uint16_t>(bits >> (16 * i))));
  }
};
// The matrix units ignore the 13 lowest bits.
struct Tf32 {
  static constexpr int kDepth = 8, kPerRegister = 1;
  static float Element(uint32_t bits, int) { return __builtin_bit_cast(float, bits & ~uint32_t{0x1fff}); }
};

template <typename Format>
struct Tile {
  float a[Format::kDepth][16];
  Row b[Format::kDepth];
  Row d[16];
};

template <typename Format>
void Gather(void* const* operands, Tile<Format>* tile) {
  constexpr int kEach = Format::kPerRegister;
  for (int lane = 0; lane < 32; ++lane) {
    const auto& of = *static_cast<const Operands*>(operands[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < kEach; ++i) {
        const int k = half * Format::kDepth / 2 + kEach * t + i;
        tile->a[k][g] = Format::Element(of.a[2 * half], i);
        tile->a[k][g + 8] = Format::Element(of.a[2 * half + 1], i);
        tile->b[k][g] = Format::Element(of.b[half], i);
      }
    }
    std::memcpy(reinterpret_cast<float*>(&tile->d[g]) + 2 * t, of.d, 2 * sizeof(float));
    std::memcpy(reinterpret_cast<float*>(&tile->d[g + 8]) + 2 * t, of.d + 2, 2 * sizeof(float));
  }
}

// Products of such operands are exact in fp32, so that a sum is rounded once, fused or not.
template <typename Format>
void Multiply(void* const* operands, unsigned) {
  Tile<Format> tile;
  Gather(operands, &tile);
  for (int first = 0; first < 16; first += 8) {
    Row sums[8];
    for (int row = 0; row < 8; ++row) sums[row] = tile.d[first + row];
    for (int k = 0; k < Format::kDepth; ++k) {
      const Row b = tile.b[k];
      const float* const a = tile.a[k] + first;
      for (int row = 0; row < 8; ++row) sums[row] += a[row] * b;
    }
    for (int row = 0; row < 8; ++row) tile.d[first + row] = sums[row];
  }
  for (int lane = 0; lane < 32; ++lane) {
    float* const d = static_cast<const Operands*>(operands[lane])->d;
    const int g = lane / 4, t = lane % 4;
    std::memcpy(d, reinterpret_cast<const float*>(&tile.d[g]) + 2 * t, 2 * sizeof(float));
    std::memcpy(d + 2, reinterpret_cast<const float*>(&tile.d[g + 8]) + 2 * t, 2 * sizeof(float));
  }
}

template <typename Format>
void MeetAndMultiply(const char* what, float* d, const uint32_t* a, const uint32_t* b) {
  Operands mine = {d, a, b};
  Meet(~0u, what, &mine, &Multiply<Format>);
}

}  // namespace

void MultiplyBf16(float* d, const uint32_t* a, const uint32_t* b) {
  MeetAndMultiply<Bf16>("mma.sync of bf16", d, a, b);
}

void MultiplyF16(float* d, const uint32_t* a, const uint32_t* b) {
  MeetAndMultiply<F16>("mma.sync of f16", d, a, b);
}

void MultiplyTf32(float* d, const uint32_t* a, const uint32_t* b) {
  MeetAndMultiply<Tf32>("mma.sync of tf32", d, a, b);
}

}  // namespace guildhall::emulation
