// Physical pages under the byte budget, and virtual ranges in which tensors lie densely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "weights/byte_budget.h"
#include "weights/page_memory.h"

namespace guildhall {

// Counts the pages that are backed and charges them to the budget. Thread-safe.
class PagePool {
 public:
  PagePool(std::unique_ptr<PageMemory> memory, std::shared_ptr<ByteBudget> budget);

  size_t page_bytes() const { return memory_->page_bytes(); }
  uint64_t mapped_bytes() const;  // of all ranges
  PageMemory& memory() { return *memory_; }
  ByteBudget& budget() { return *budget_; }

  // RESOURCE_EXHAUSTED when the budget or the system refuses; then nothing has changed.
  absl::Status Map(std::byte* begin, size_t pages);
  void Unmap(std::byte* begin, size_t pages);

 private:
  const std::unique_ptr<PageMemory> memory_;
  const std::shared_ptr<ByteBudget> budget_;
  mutable std::mutex mutex_;
  uint64_t pages_ = 0;
};

// A virtually contiguous home of one kind of tensor (one layer's expert gate/up, for instance). Runs lie
// densely, 64-byte aligned, first fit; a page is mapped while any run touches it, so neighbours share their
// border pages. Not thread-safe: the weight manager's lock guards it. Addresses are reserved extent by extent
// and kept.
class PageRange {
 public:
  explicit PageRange(PagePool& pool) : pool_(&pool) {}
  PageRange(PageRange&&) noexcept;
  ~PageRange();  // CHECK: every run was freed

  // RESOURCE_EXHAUSTED; then nothing has changed. bytes > 0.
  absl::StatusOr<std::byte*> Allocate(size_t bytes);
  void Free(std::byte* begin);

  // Pages that Allocate(bytes) would map beyond those that are mapped, and that Free(begin) would unmap now.
  size_t PagesToAllocate(size_t bytes) const;

  uint64_t allocated_bytes() const { return allocated_bytes_; }  // of all runs, with their alignment
  uint64_t mapped_pages() const { return mapped_pages_; }

 private:
  struct Extent {
    std::byte* begin = nullptr;
    size_t bytes = 0;
    std::vector<uint32_t> page_users;  // (pages) runs that touch it
    std::map<size_t, size_t> runs;     // offset -> bytes
  };
  PagePool* pool_;
  std::vector<Extent> extents_;
  uint64_t allocated_bytes_ = 0;
  uint64_t mapped_pages_ = 0;
};

}  // namespace guildhall
