#include "tests/cuda_emulation/stack_pool.h"

#include <sys/mman.h>

#include "base/check.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kPage = 4096;
// Instrumented frames are several times as large.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStackBytes = size_t{256} << 10;
#else
constexpr size_t kStackBytes = size_t{64} << 10;
#endif
constexpr size_t kFibersPerPiece = 32;

}  // namespace

StackPool::~StackPool() {
  fibers_.clear();
  for (std::byte* const piece : pieces_) munmap(piece, kFibersPerPiece * kStackBytes);
}

Fiber* StackPool::Take(void (*entry)()) {
  if (idle_.empty()) Grow(entry);
  Fiber* const fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

void StackPool::Grow(void (*entry)()) {
  void* const memory = mmap(nullptr, kFibersPerPiece * kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  GH_CHECK(memory != MAP_FAILED);
  pieces_.push_back(static_cast<std::byte*>(memory));
  for (size_t i = kFibersPerPiece; i-- > 0;) {
    std::byte* const stack = pieces_.back() + i * kStackBytes;
    GH_CHECK_EQ(mprotect(stack, kPage, PROT_NONE), 0);
    idle_.push_back(&fibers_.emplace_back(entry, stack + kPage, kStackBytes - kPage, i % 32 * 320));
  }
}

}  // namespace guildhall::emulation
