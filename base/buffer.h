// Anonymous memory that the process owns, on 2 MiB pages where the system gives them.
#pragma once

#include <cstddef>
#include <utility>

#include "absl/status/statusor.h"

namespace guildhall {

// Zeroed at first touch; from 2 MiB on aligned to 2 MiB and spread over the memory nodes, below aligned to 4
// KiB. Move-only; freed with its owner.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  // RESOURCE_EXHAUSTED with the size and `what` ("KV cache") when the system refuses.
  static absl::StatusOr<Buffer> Allocate(size_t bytes, const char* what);

  // Gives the memory of the whole pages inside [offset, offset + bytes) back to the system; they read as zero
  // and take memory again when they are touched. Pages that the process has locked stay.
  void Release(size_t offset, size_t bytes);

  std::byte* data() { return static_cast<std::byte*>(data_); }
  const std::byte* data() const { return static_cast<const std::byte*>(data_); }
  size_t size() const { return size_; }
  template <typename T>
  T* As() {
    return static_cast<T*>(data_);
  }
  template <typename T>
  const T* As() const {
    return static_cast<const T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t size_ = 0;  // as asked for; the mapping is rounded up to its alignment
};

}  // namespace guildhall
