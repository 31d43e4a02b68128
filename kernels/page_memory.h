// Where pages come from: the device's own way to reserve addresses and to back them with memory.
#pragma once

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace guildhall {

// Thread-safe. Addresses are reserved without memory; whole pages in them are backed and given back one run
// at a time. The addresses are those of device memory: ops read them, and the host writes there through
// DeviceMemory alone.
class PageMemory {
 public:
  virtual ~PageMemory() = default;

  virtual size_t page_bytes() const = 0;
  // `bytes` is a multiple of page_bytes. RESOURCE_EXHAUSTED when the system refuses the address space.
  virtual absl::StatusOr<std::byte*> Reserve(size_t bytes) = 0;
  virtual void Unreserve(std::byte* begin, size_t bytes) = 0;
  // Backs pages with memory of any content. RESOURCE_EXHAUSTED; then nothing was backed.
  virtual absl::Status Map(std::byte* begin, size_t bytes) = 0;
  // Gives the memory back; the addresses stay reserved and must not be read. The caller has seen to it that
  // every step that may read there is over.
  virtual void Unmap(std::byte* begin, size_t bytes) = 0;
};

}  // namespace guildhall
