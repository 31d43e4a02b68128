// The emulation's <cuda_fp16.h>: half floats.
#pragma once

#include "emulated/device_functions.h"
#include "emulated/qualifiers.h"
#include "emulated/vector_types.h"

struct __half_raw {
  unsigned short x;
};

struct alignas(2) __half {
  unsigned short bits;
  __half() = default;
  constexpr __half(__half_raw raw) : bits(raw.x) {}
  explicit __half(float value) : bits(__builtin_bit_cast(unsigned short, static_cast<_Float16>(value))) {}
  operator float() const { return static_cast<float>(__builtin_bit_cast(_Float16, bits)); }
};

struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline __half __float2half_rn(float value) {
  return __half(value);
}
inline __half __float2half(float value) {
  return __half(value);
}
inline float __half2float(__half value) {
  return value;
}
inline __half2 __floats2half2_rn(float x, float y) {
  return {__half(x), __half(y)};
}
inline __half2 __float22half2_rn(float2 value) {
  return __floats2half2_rn(value.x, value.y);
}
inline float2 __half22float2(__half2 value) {
  return {value.x, value.y};
}
inline __half2 __halves2half2(__half x, __half y) {
  return {x, y};
}
inline float __low2float(__half2 value) {
  return value.x;
}
inline float __high2float(__half2 value) {
  return value.y;
}
inline unsigned short __half_as_ushort(__half value) {
  return value.bits;
}
inline __half __ushort_as_half(unsigned short bits) {
  return __half_raw{bits};
}
