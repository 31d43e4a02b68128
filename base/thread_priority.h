// Work beside the steps.
#pragma once

namespace guildhall {

// Of the calling thread, for good: a small share of a busy CPU, taken in short slices, so that a step that it
// interrupts hardly grows. The slice is a request of Linux 6.12 and later; all of it may be refused in a
// container, and then the thread competes with the steps.
void LowerThreadPriority();

}  // namespace guildhall
