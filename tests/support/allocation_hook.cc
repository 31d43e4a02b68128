#include "tests/support/allocation_hook.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace guildhall {
namespace {

std::atomic<AllocationHook> current_hook{nullptr};

// Null where it fails.
void* Allocate(size_t size) {
  const AllocationHook hook = current_hook.load();
  return hook != nullptr && hook() ? nullptr : std::malloc(size == 0 ? 1 : size);
}

}  // namespace

void SetAllocationHook(AllocationHook hook) {
  current_hook.store(hook);
}

}  // namespace guildhall

// All forms in use, nothrow too: what a sanitizer's own new gave must not come to our delete. In a file of
// their own: where the compiler sees both sides, it warns of new that ends in free().
void* operator new(size_t size) {
  if (void* memory = guildhall::Allocate(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return guildhall::Allocate(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, const std::nothrow_t&) noexcept {
  std::free(memory);
}
