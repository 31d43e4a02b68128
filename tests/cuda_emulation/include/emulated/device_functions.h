// What a thread computes by itself. Each rounds as the device does: to nearest, even, no fast versions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulated/qualifiers.h"

inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fsqrt_rn(float a) {
  return __builtin_sqrtf(a);
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}

inline unsigned __float_as_uint(float value) {
  return __builtin_bit_cast(unsigned, value);
}
inline int __float_as_int(float value) {
  return __builtin_bit_cast(int, value);
}
inline float __uint_as_float(unsigned bits) {
  return __builtin_bit_cast(float, bits);
}
inline float __int_as_float(int bits) {
  return __builtin_bit_cast(float, bits);
}
inline int __float2int_rn(float value) {
  return static_cast<int>(__builtin_rintf(value));
}
inline int __float2int_rd(float value) {
  return static_cast<int>(__builtin_floorf(value));
}
inline int __float2int_rz(float value) {
  return static_cast<int>(value);
}
inline float __int2float_rn(int value) {
  return static_cast<float>(value);
}
inline float __uint2float_rn(unsigned value) {
  return static_cast<float>(value);
}

inline int __popc(unsigned value) {
  return __builtin_popcount(value);
}
inline int __ffs(int value) {
  return __builtin_ffs(value);
}
inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline unsigned __brev(unsigned value) {
  unsigned reversed = 0;
  for (int bit = 0; bit < 32; ++bit) reversed |= (value >> bit & 1u) << (31 - bit);
  return reversed;
}
// Four bytes of the eight of (b, a), chosen by selector's nibbles.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned choice = selector >> (4 * i) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (choice & 7))) & 0xff;
    if (choice & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

#define GH_MIN_MAX(type)            \
  inline type min(type a, type b) { \
    return b < a ? b : a;           \
  }                                 \
  inline type max(type a, type b) { \
    return a < b ? b : a;           \
  }
GH_MIN_MAX(int)
GH_MIN_MAX(unsigned)
GH_MIN_MAX(long)
GH_MIN_MAX(unsigned long)
GH_MIN_MAX(long long)
GH_MIN_MAX(unsigned long long)
#undef GH_MIN_MAX
inline float min(float a, float b) {
  return fminf(a, b);
}
inline float max(float a, float b) {
  return fmaxf(a, b);
}

template <typename T>
inline T __ldg(const T* from) {
  return *from;
}

// On integers alone: the order of float sums would depend on chance.
#define GH_ATOMICS(type)                                                                                 \
  inline type atomicAdd(type* to, type value) {                                                          \
    return __atomic_fetch_add(to, value, __ATOMIC_RELAXED);                                              \
  }                                                                                                      \
  inline type atomicExch(type* to, type value) {                                                         \
    return __atomic_exchange_n(to, value, __ATOMIC_RELAXED);                                             \
  }                                                                                                      \
  inline type atomicCAS(type* to, type expected, type value) {                                           \
    __atomic_compare_exchange_n(to, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);        \
    return expected;                                                                                     \
  }                                                                                                      \
  inline type atomicMax(type* to, type value) {                                                          \
    type old = __atomic_load_n(to, __ATOMIC_RELAXED);                                                    \
    while (old < value && atomicCAS(to, old, value) != old) old = __atomic_load_n(to, __ATOMIC_RELAXED); \
    return old;                                                                                          \
  }                                                                                                      \
  inline type atomicMin(type* to, type value) {                                                          \
    type old = __atomic_load_n(to, __ATOMIC_RELAXED);                                                    \
    while (value < old && atomicCAS(to, old, value) != old) old = __atomic_load_n(to, __ATOMIC_RELAXED); \
    return old;                                                                                          \
  }
GH_ATOMICS(int)
GH_ATOMICS(unsigned)
GH_ATOMICS(unsigned long long)
#undef GH_ATOMICS

namespace guildhall::emulation {
void Fence();
}
inline void __threadfence() {
  guildhall::emulation::Fence();
}
inline void __threadfence_block() {}
