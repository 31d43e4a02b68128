#include "tests/cuda_emulation/pinned_memory.h"

#include <cstdlib>
#include <cstring>

#include "base/align.h"
#include "base/check.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kPage = 4096;

}  // namespace

PinnedMemory::~PinnedMemory() {
  for (const auto& [begin, bytes] : pieces_) std::free(const_cast<std::byte*>(begin));
}

void* PinnedMemory::Allocate(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > most_bytes_ - bytes_) return nullptr;
  void* const memory = std::aligned_alloc(kPage, AlignUp(bytes, kPage));
  GH_CHECK(memory != nullptr);
  std::memset(memory, 0xee, bytes);
  bytes_ += bytes;
  pieces_[static_cast<std::byte*>(memory)] = bytes;
  return memory;
}

bool PinnedMemory::Free(void* begin) {
  const std::lock_guard lock(mutex_);
  const auto piece = pieces_.find(static_cast<std::byte*>(begin));
  if (piece == pieces_.end()) return false;
  bytes_ -= piece->second;
  pieces_.erase(piece);
  std::free(begin);
  return true;
}

bool PinnedMemory::Contains(const void* begin, size_t bytes) const {
  const auto* const at = static_cast<const std::byte*>(begin);
  const std::lock_guard lock(mutex_);
  auto piece = pieces_.upper_bound(at);
  if (piece == pieces_.begin()) return false;
  --piece;
  return at + bytes <= piece->first + piece->second;
}

size_t PinnedMemory::pieces() const {
  const std::lock_guard lock(mutex_);
  return pieces_.size();
}

}  // namespace guildhall::emulation
