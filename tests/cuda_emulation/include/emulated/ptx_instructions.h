// What the emulated kernels/cuda/ptx.h calls: PTX instructions by their documented lanes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace guildhall::emulation {

std::byte* SharedMemoryOfBlock();

// ldmatrix: `matrices` (2, 4) of 8 x 8 16-bit elements, one register each. The calling lane's row is checked
// where it is used: in shared memory, 16-byte aligned.
void LoadMatrices(uint32_t* r, const void* row, int matrices, bool transposed);

// mma.sync: d (4) += a (4) b (2), sums in fp32, k ascending.
void MultiplyBf16(float* d, const uint32_t* a, const uint32_t* b);
void MultiplyF16(float* d, const uint32_t* a, const uint32_t* b);
void MultiplyTf32(float* d, const uint32_t* a, const uint32_t* b);

// cp.async: what is copied appears at the wait for its group. It is an error that ends the run when source
// or destination have changed between issue and wait, and when a thread ends with copies under way.
void IssueCopy16(void* shared, const void* global, bool there);
void CommitCopies();
void WaitForCopies(unsigned groups_left);

}  // namespace guildhall::emulation
