// Elementary functions of our own: written out to the last rounding, so that a device and its emulation agree
// to the bit. A NaN stays one.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace guildhall::cuda {

// 2^n for n in [-126, 127].
__device__ inline float PowerOfTwo(int32_t n) {
  return __uint_as_float(static_cast<uint32_t>(n + 127) << 23);
}

// Within 1 ulp of e^x; 0 below -104, infinite above 88.73. x = n ln 2 + f, where n is x / ln 2 rounded by
// adding 1.5 * 2^23, ln 2 is taken in two parts, and e^f is a polynomial that was fitted to [-ln 2 / 2,
// ln 2 / 2].
__device__ inline float Exp(float x) {
  constexpr float kLimit = 104.0f, kRound = 12582912.0f;
  constexpr float kInverseLn2 = 0x1.715476p0f, kLn2High = 0x1.62e400p-1f, kLn2Low = 0x1.7f7d1cp-20f;
  x = x > kLimit ? kLimit : (x < -kLimit ? -kLimit : x);
  const float shifted = __fmaf_rn(x, kInverseLn2, kRound);
  const float whole = shifted - kRound;
  const float f = __fmaf_rn(whole, -kLn2Low, __fmaf_rn(whole, -kLn2High, x));
  float p = 0x1.6a2434p-10f;
  p = __fmaf_rn(p, f, 0x1.1239e2p-7f);
  p = __fmaf_rn(p, f, 0x1.5558f2p-5f);
  p = __fmaf_rn(p, f, 0x1.555492p-3f);
  p = __fmaf_rn(p, f, 0x1.fffffcp-2f);
  p = __fmaf_rn(p, f, 1.0f);
  p = __fmaf_rn(p, f, 1.0f);
  // In two steps: n reaches from -150 to 150, which is more than an exponent holds. Of a NaN the bits behind
  // the shift mean nothing, and any finite factor will do.
  const int32_t n = (__float_as_int(shifted) & 0x1ff) - ((__float_as_int(shifted) & 0x100) << 1);
  const int32_t half = n >> 1;
  return p * PowerOfTwo(half) * PowerOfTwo(n - half);
}

// 1 / (1 + e^-x).
__device__ inline float Sigmoid(float x) {
  return __fdiv_rn(1.0f, 1.0f + Exp(-x));
}

// x / (1 + e^-x), as the CPU's: rounded once more between the two.
__device__ inline float Silu(float x) {
  return x * Sigmoid(x);
}

}  // namespace guildhall::cuda
