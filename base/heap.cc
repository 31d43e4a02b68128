#include "base/heap.h"

#include <malloc.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace guildhall {
namespace {

constexpr int kArenas = 4;
constexpr int kOwnMappingBytes = 512 << 10;
constexpr int kKeptAtTopBytes = 1 << 20;
constexpr size_t kWorthReturning = size_t{4} << 20;

// In all arenas, whether the system has it back already or not.
size_t FreeBytes() {
  return mallinfo2().fordblks;
}

}  // namespace

void BoundHeap() {
  mallopt(M_ARENA_MAX, kArenas);
  mallopt(M_MMAP_THRESHOLD, kOwnMappingBytes);
  mallopt(M_TRIM_THRESHOLD, kKeptAtTopBytes);
}

void ReturnFreedMemory() {
  malloc_trim(0);
}

bool MemoryReturner::Look() {
  const size_t resident = ResidentBytes(), free = FreeBytes();
  least_resident_ = std::min(least_resident_, resident);
  least_free_ = std::min(least_free_, free);
  if (std::max(resident - least_resident_, free - least_free_) < kWorthReturning) return false;
  ReturnFreedMemory();
  least_resident_ = ResidentBytes();
  least_free_ = FreeBytes();
  return true;
}

size_t HeapAddressBytes() {
  // glibc's HEAP_MAX_SIZE, of which it asks for two to align one.
  constexpr size_t kArenaBytes = size_t{64} << 20;
  return (kArenas + 1) * kArenaBytes;
}

size_t ThreadStackBytes() {
  pthread_attr_t attributes;
  size_t bytes = 0;
  if (pthread_attr_init(&attributes) != 0) return 0;
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return bytes;
}

size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace guildhall
