// One block of memory, divided into aligned pieces.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/align.h"
#include "base/check.h"

namespace guildhall {

// Hands out pieces one after another. Without memory the pieces are null and only
// their sizes add up, so that one function says what is needed at first and where it
// lies later. Owns nothing, reads and writes nothing: the memory may be a device's.
// Whoever gives it sees to its size and that it begins at a multiple of kAlignment.
class Arena {
 public:
  Arena() = default;
  explicit Arena(std::byte* memory) : memory_(memory) {}

  // Room for `elements` of T, at least 0.
  template <typename T>
  T* Take(int64_t elements) {
    GH_CHECK_GE(elements, 0);
    T* piece = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + bytes_);
    bytes_ += AlignUp(static_cast<size_t>(elements) * sizeof(T));
    return piece;
  }

  // Of all pieces so far.
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace guildhall
