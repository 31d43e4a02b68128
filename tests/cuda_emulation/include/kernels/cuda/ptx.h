// The emulation's twin of kernels/cuda/ptx.h, found before it: the same functions, executed on the CPU.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "emulated/ptx_instructions.h"

namespace guildhall::cuda {

__forceinline__ std::byte* DynamicShared() {
  return emulation::SharedMemoryOfBlock();
}

__forceinline__ void LdMatrixX4(uint32_t (&r)[4], const void* shared_row) {
  emulation::LoadMatrices(r, shared_row, 4, /*transposed=*/false);
}
__forceinline__ void LdMatrixX2(uint32_t (&r)[2], const void* shared_row) {
  emulation::LoadMatrices(r, shared_row, 2, /*transposed=*/false);
}
__forceinline__ void LdMatrixX4Trans(uint32_t (&r)[4], const void* shared_row) {
  emulation::LoadMatrices(r, shared_row, 4, /*transposed=*/true);
}
__forceinline__ void LdMatrixX2Trans(uint32_t (&r)[2], const void* shared_row) {
  emulation::LoadMatrices(r, shared_row, 2, /*transposed=*/true);
}

__forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::MultiplyBf16(d, a, b);
}
__forceinline__ void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::MultiplyF16(d, a, b);
}
__forceinline__ void MmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulation::MultiplyTf32(d, a, b);
}

inline uint32_t RoundTf32(float value) {
  const uint32_t bits = __float_as_uint(value);
  return value != value ? 0x7fffffffu : (bits + 0x1000u) & ~uint32_t{0x1fff};
}

inline uint32_t RoundBf16Pair(float first, float second) {
  const auto round = [](float value) { return value != value ? 0x7fffu : uint32_t{FloatToBF16(value)}; };
  return round(first) | round(second) << 16;
}

inline uint32_t RoundF16Pair(float first, float second) {
  const auto round = [](float value) {
    return value != value ? 0x7fffu : uint32_t{__builtin_bit_cast(uint16_t, static_cast<_Float16>(value))};
  };
  return round(first) | round(second) << 16;
}

// Rounded to a float in between, which shows in no result that a float holds.
inline uint32_t FmaBf16x2(uint32_t a, uint32_t b, uint32_t c) {
  const auto fma = [](uint32_t x, uint32_t y, uint32_t z) {
    return __fmaf_rn(__uint_as_float(x), __uint_as_float(y), __uint_as_float(z));
  };
  constexpr uint32_t kHigh = 0xffff0000u;
  return RoundBf16Pair(fma(a << 16, b << 16, c << 16), fma(a & kHigh, b & kHigh, c & kHigh));
}

inline float WidenF16(uint16_t half) {
  return static_cast<float>(__builtin_bit_cast(_Float16, half));
}

__forceinline__ void CopyAsync16(void* shared, const void* global) {
  emulation::IssueCopy16(shared, global, /*there=*/true);
}
__forceinline__ void CopyAsync16OrZero(void* shared, const void* global, bool there) {
  emulation::IssueCopy16(shared, global, there);
}
__forceinline__ void CopyAsyncCommit() {
  emulation::CommitCopies();
}
template <int N>
__forceinline__ void CopyAsyncWait() {
  emulation::WaitForCopies(N);
}

}  // namespace guildhall::cuda
