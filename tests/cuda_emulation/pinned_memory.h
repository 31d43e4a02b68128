// Host memory that the device may copy from and to by itself.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>

namespace guildhall::emulation {

// Thread-safe.
class PinnedMemory {
 public:
  explicit PinnedMemory(size_t most_bytes) : most_bytes_(most_bytes) {}
  ~PinnedMemory();

  // Page-aligned, of 0xee. Null: more than may be locked.
  void* Allocate(size_t bytes);
  // False: none that was handed out begins there.
  bool Free(void* begin);
  bool Contains(const void* begin, size_t bytes) const;
  size_t pieces() const;

 private:
  const size_t most_bytes_;
  mutable std::mutex mutex_;
  size_t bytes_ = 0;
  std::map<const std::byte*, size_t> pieces_;
};

}  // namespace guildhall::emulation
