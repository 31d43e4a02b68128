// Asynchronous copies of a block's threads: what each has under way.
#pragma once

#include <cstddef>

namespace guildhall::emulation {

// Ends the run where `bytes` bytes there are not in the block's shared memory, or not aligned to their size.
void CheckShared(const char* what, const void* address, size_t bytes);

// The running thread ends: ends the run where copies are under way that nothing waited for.
void EndCopies();

}  // namespace guildhall::emulation
