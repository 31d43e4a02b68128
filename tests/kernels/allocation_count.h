// How often the test program has taken memory from the heap.
#pragma once

#include <cstdint>

namespace guildhall {

int64_t AllocationCount();

}  // namespace guildhall
