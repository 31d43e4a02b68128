// How the process's heap behaves over months.
#pragma once

#include <cstddef>
#include <cstdint>

namespace guildhall {

// Before other threads run. Few arenas, as every one keeps what its threads freed (and reserves addresses);
// large blocks are the system's own from a fixed size on, and go back with their end. Without it glibc moves
// that size up with every large block that is freed, until prompts of some megabytes lie in arenas for good.
void BoundHeap();

// Gives back what was freed and lies unused. Takes the arenas' locks for as long as it works: some
// milliseconds, so not in a busy moment.
void ReturnFreedMemory();

// Calls it where it may be worth it, whoever freed the memory (gRPC's is in no account of ours): more is free
// than before, or what was free was used meanwhile, by which the process has grown. For one thread.
class MemoryReturner {
 public:
  // To be called every few seconds. True: it was called.
  bool Look();

 private:
  size_t least_resident_ = SIZE_MAX, least_free_ = SIZE_MAX;  // bytes, since the last time
};

// Addresses that the arenas of a bound heap reserve, whatever is in them.
size_t HeapAddressBytes();
// Of a thread's stack, as the system reserves it.
size_t ThreadStackBytes();

// Of the process now, from /proc.
size_t ResidentBytes();

}  // namespace guildhall
