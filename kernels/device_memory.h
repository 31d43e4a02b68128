// The memory that ops read and write, and the only ways of the host into it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/page_memory.h"

namespace guildhall {

// A piece of device memory. Move-only; freed with its owner, which the back end outlives. The address may be
// passed to ops and not be touched by host code.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  // For back ends: `owner` frees the memory when it goes.
  DeviceBuffer(std::byte* data, size_t size, std::shared_ptr<void> owner)
      : data_(data), size_(size), owner_(std::move(owner)) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(owner_, other.owner_);
    return *this;
  }

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<void> owner_;
};

// The host's copy of a stretch of device memory, in which its bytes are made before they are uploaded. Where
// the host may write to device memory the twin is that memory, and nothing is copied. Move-only.
class HostTwin {
 public:
  HostTwin() = default;
  // For back ends: `owner` frees what `data` needs when it goes.
  HostTwin(std::byte* home, std::byte* data, size_t size, std::shared_ptr<void> owner)
      : home_(home), data_(data), size_(size), owner_(std::move(owner)) {}
  HostTwin(HostTwin&&) = default;
  HostTwin& operator=(HostTwin&&) = default;
  HostTwin(const HostTwin&) = delete;
  HostTwin& operator=(const HostTwin&) = delete;

  std::byte* home() const { return home_; }  // on the device
  std::byte* data() const { return data_; }  // on the host; 64-byte aligned where home is; any content
  size_t size() const { return size_; }
  template <typename T>
  T* As() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  std::byte* home_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::shared_ptr<void> owner_;
};

// What a device can still give to this process.
struct AvailableMemory {
  uint64_t bytes = 0;
  std::string source;  // who says so: "MemAvailable", "memory limit of control group /a"
};

// Of one back end, which owns it. Thread-safe: loading goes on beside steps.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // At least 64-byte aligned, of any content. RESOURCE_EXHAUSTED names `what` ("KV cache"), the bytes asked
  // for and what the system says.
  virtual absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, std::string_view what) = 0;

  // Of [home, home + bytes), which lies in a buffer or in mapped pages and stays there while the twin lives.
  virtual absl::StatusOr<HostTwin> MakeTwin(std::byte* home, size_t bytes) = 0;
  // Brings a twin's bytes home. What is enqueued after it returns sees them; the twin may be written anew.
  virtual absl::Status Upload(const HostTwin& twin) = 0;
  // Brings the first `bytes` of a twin's home to the host. The caller has seen to it that no op still writes
  // there.
  virtual absl::Status Download(const HostTwin& twin, size_t bytes) = 0;

  // Device memory that holds `bytes` of the host, which `owner` keeps (a mapped file). Where ops may read
  // them in place it is the very same memory, kept by the buffer; else a copy. Errors as Allocate.
  virtual absl::StatusOr<DeviceBuffer> Bring(std::span<const std::byte> bytes,
                                             std::shared_ptr<const void> owner, std::string_view what) = 0;

  virtual PageMemory& pages() = 0;

  // UNAVAILABLE where the system does not say.
  virtual absl::StatusOr<AvailableMemory> Available() const = 0;
};

}  // namespace guildhall
