// The pages of all adapters: one virtual range per layer and kind of tensor, one for everything of low rank.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "weights/page_pool.h"
#include "weights/page_range.h"

namespace guildhall {

// A stretch of bytes in one of the ranges.
struct Run {
  size_t range = 0;
  size_t bytes = 0;
  std::byte* begin = nullptr;  // 64-byte aligned; null: not allocated
};

// Thread-safe. Its lock is held while pages are mapped and given back, so the engine and requests stay away
// from it.
class AdapterMemory {
 public:
  // `memory` outlives it.
  AdapterMemory(PageMemory& memory, std::shared_ptr<ByteBudget> budget, size_t ranges);

  // Gives every run its place. RESOURCE_EXHAUSTED; then none has one.
  absl::Status Allocate(std::span<Run> runs);
  // The bytes that the system got back. CHECK: the runs are allocated.
  uint64_t Free(std::span<const Run> runs);

  // Bytes of pages that Allocate(runs) would take and that freeing all of `groups` would give back, now.
  uint64_t BytesToAllocate(std::span<const Run> runs) const;
  uint64_t BytesToFree(std::span<const std::span<const Run>> groups) const;
  // The runs' pages; those shared with other runs in proportion.
  uint64_t MappedShare(std::span<const Run> runs) const;

  uint64_t mapped_bytes() const { return pool_.mapped_bytes(); }
  size_t page_bytes() const { return pool_.page_bytes(); }

 private:
  uint64_t FreeLocked(std::span<const Run> runs);

  PagePool pool_;
  mutable std::mutex mutex_;
  std::vector<PageRange> ranges_;
};

}  // namespace guildhall
