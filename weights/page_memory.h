// Where pages come from: the device's own way to reserve addresses and to back them with memory.
#pragma once

#include <cstddef>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace guildhall {

// Thread-safe. Addresses are reserved without memory; whole pages in them are backed and given back one run
// at a time. The CPU's is here (mmap); CUDA's twin uses the driver's virtual memory calls.
class PageMemory {
 public:
  virtual ~PageMemory() = default;

  virtual size_t page_bytes() const = 0;
  // `bytes` is a multiple of page_bytes. RESOURCE_EXHAUSTED when the system refuses the address space.
  virtual absl::StatusOr<std::byte*> Reserve(size_t bytes) = 0;
  virtual void Unreserve(std::byte* begin, size_t bytes) = 0;
  // Backs pages with zeroed memory that can be written. RESOURCE_EXHAUSTED; then nothing was backed.
  virtual absl::Status Map(std::byte* begin, size_t bytes) = 0;
  // Gives the memory back; the addresses stay reserved and must not be read.
  virtual void Unmap(std::byte* begin, size_t bytes) = 0;
};

// `page_bytes`: a multiple of 4 KiB; 2 MiB gets huge pages where the system gives them.
std::unique_ptr<PageMemory> MakeCpuPageMemory(size_t page_bytes = size_t{2} << 20);

}  // namespace guildhall
