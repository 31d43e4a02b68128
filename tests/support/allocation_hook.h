// Every allocation of a test program is seen by the test. Linking this replaces the program's operator new.
#pragma once

namespace guildhall {

// Called for each allocation, on its thread, and allocates nothing itself. True: this one fails.
using AllocationHook = bool (*)();

// From any thread; null, as at the start: none.
void SetAllocationHook(AllocationHook hook);

}  // namespace guildhall
