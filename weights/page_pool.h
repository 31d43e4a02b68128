// Physical pages under the byte budget.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "kernels/page_memory.h"
#include "weights/byte_budget.h"

namespace guildhall {

// Counts the pages that are backed and charges them to the budget. Thread-safe.
class PagePool {
 public:
  // `memory` outlives the pool.
  PagePool(PageMemory& memory, std::shared_ptr<ByteBudget> budget);
  ~PagePool();  // CHECK: every page was given back

  size_t page_bytes() const { return memory_.page_bytes(); }
  uint64_t mapped_bytes() const;  // of all ranges
  PageMemory& memory() { return memory_; }

  // RESOURCE_EXHAUSTED when the budget or the system refuses; then nothing has changed.
  absl::Status Map(std::byte* begin, size_t pages);
  void Unmap(std::byte* begin, size_t pages);

 private:
  PageMemory& memory_;
  const std::shared_ptr<ByteBudget> budget_;
  mutable std::mutex mutex_;
  uint64_t pages_ = 0;
};

}  // namespace guildhall
