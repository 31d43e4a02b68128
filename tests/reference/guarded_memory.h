// Device memory that host code cannot touch: every address that it hands out faults when it is read or
// written. Only the back end that owns it gets at the bytes, by another mapping of the same memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "kernels/device_memory.h"

namespace guildhall {

// Addresses are never used twice, and fresh memory is full of NaN: neither something that was freed nor a
// promise of zeros can be relied on. Thread-safe.
class GuardedMemory final : public DeviceMemory {
 public:
  // `bytes`: of addresses, not of memory.
  explicit GuardedMemory(size_t bytes = size_t{16} << 30);
  ~GuardedMemory() override;

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, std::string_view what) override;
  absl::StatusOr<HostTwin> MakeTwin(std::byte* home, size_t bytes) override;
  absl::Status Upload(const HostTwin& twin) override;
  absl::Status Download(const HostTwin& twin, size_t bytes) override;
  absl::StatusOr<DeviceBuffer> Bring(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                     std::string_view what) override;
  PageMemory& pages() override;
  absl::StatusOr<AvailableMemory> Available() const override;

  // Where the owner finds `count` elements at a device address. CHECK: they lie in memory that exists.
  template <typename T>
  T* At(T* home, int64_t count) const {
    const auto* begin = reinterpret_cast<const std::byte*>(home);
    Check(begin, static_cast<size_t>(count) * sizeof(T));
    return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(begin) + offset());
  }

 private:
  class Pages;

  uintptr_t offset() const {
    return reinterpret_cast<uintptr_t>(inside_) - reinterpret_cast<uintptr_t>(outside_);
  }
  absl::StatusOr<std::byte*> Take(size_t bytes, size_t alignment);
  void Create(std::byte* home, size_t bytes);   // from here on it exists
  void Destroy(std::byte* home, size_t bytes);  // and here it does not
  void Check(const std::byte* begin, size_t bytes) const;

  const size_t bytes_;
  int file_ = -1;
  std::byte* outside_ = nullptr;  // what is handed out: no access
  std::byte* inside_ = nullptr;
  mutable std::mutex mutex_;
  size_t taken_ = 0;
  std::map<const std::byte*, size_t> alive_;  // begin -> bytes
  std::unique_ptr<Pages> pages_;
};

}  // namespace guildhall
