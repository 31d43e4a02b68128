// One function for each PTX instruction that kernels use, and the one way to shared memory. Lanes are named
// g = lane / 4 and t = lane % 4. All lanes of a warp call the functions marked "warp" together.
//
// The emulation of devices has a header of the same name with the same functions.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace guildhall::cuda {

// The block's dynamic shared memory, 1024-byte aligned; its size is the launch's.
__device__ inline std::byte* DynamicShared() {
  extern __shared__ __align__(1024) std::byte dynamic_shared[];
  return dynamic_shared;
}

__device__ inline uint32_t SharedAddress(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Warp. Matrices of 8 x 8 16-bit elements: lane 8 i + r gives the 16-byte aligned address of row r of matrix
// i, each lane gets elements (g, 2t) and (g, 2t + 1) of matrix i in r[i].
__device__ inline void LdMatrixX4(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// Warp. Of two matrices: lanes 0..15 give the rows; the others' addresses are not used.
__device__ inline void LdMatrixX2(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// Warp. As above, but each lane gets elements (2t, g) and (2t + 1, g): those of the matrix transposed.
__device__ inline void LdMatrixX4Trans(uint32_t (&r)[4], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

__device__ inline void LdMatrixX2Trans(uint32_t (&r)[2], const void* shared_row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(SharedAddress(shared_row))
               : "memory");
}

// Warp. d += a b: d (16, 8) floats: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1);
// a (16, 16) pairs: (g, 2t..), (g + 8, 2t..), (g, 2t + 8..), (g + 8, 2t + 8..); the lower half of a register
// is the pair's first; b (16, 8) pairs: (2t.., g), (2t + 8.., g).
__device__ inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ inline void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Warp. d += a b, d as above; a (16, 8): (g, t), (g + 8, t), (g, t + 4), (g + 8, t + 4); b (8, 8): (t, g),
// (t + 4, g). Operands are the bits of floats without their 13 lowest, which are ignored: see RoundTf32.
__device__ inline void MmaTf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The bits of the nearest value with 10 bits of mantissa, away from zero where two are.
__device__ inline uint32_t RoundTf32(float value) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
}

// The nearest bf16 numbers, even where two are; the first in the lower half. Of a NaN: 0x7fff.
__device__ inline uint32_t RoundBf16Pair(float first, float second) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  return bits;
}

// The nearest halves, even where two are, infinity beyond their range; the first in the lower half. Of a NaN:
// 0x7fff.
__device__ inline uint32_t RoundF16Pair(float first, float second) {
  uint32_t bits;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  return bits;
}

// Of the bits of a half, exactly.
__device__ inline float WidenF16(uint16_t half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
}

// a * b + c of pairs of bf16, rounded once to the nearest, ties to even.
__device__ inline uint32_t FmaBf16x2(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}

// Copies 16 bytes, both addresses 16-byte aligned, past the registers. They are there for this thread after
// the wait for the copy's group, for others after a barrier behind that. Until then neither side is touched.
__device__ inline void CopyAsync16(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}

// Zeros where it is not there: `global` is then not read, but is still an address of memory that is mapped.
__device__ inline void CopyAsync16OrZero(void* shared, const void* global, bool there) {
  const uint32_t source_bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(SharedAddress(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(source_bytes)
               : "memory");
}

// The thread's copies since its last commit become a group.
__device__ inline void CopyAsyncCommit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// All of the thread's groups but the N youngest are there.
template <int N>
__device__ inline void CopyAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

}  // namespace guildhall::cuda
