#include "weights/adapter_memory.h"

#include <cmath>
#include <map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/check.h"
#include "base/status.h"

namespace guildhall {

AdapterMemory::AdapterMemory(PageMemory& memory, std::shared_ptr<ByteBudget> budget, size_t ranges)
    : pool_(memory, std::move(budget)) {
  ranges_.reserve(ranges);
  for (size_t i = 0; i < ranges; ++i) ranges_.emplace_back(pool_);
}

absl::Status AdapterMemory::Allocate(std::span<Run> runs) {
  std::lock_guard lock(mutex_);
  size_t placed = 0;
  absl::Cleanup undo = [&] {
    FreeLocked(runs.first(placed));
    for (Run& run : runs) run.begin = nullptr;
  };
  for (; placed < runs.size(); ++placed) {
    Run& run = runs[placed];
    GH_CHECK(run.begin == nullptr);
    GH_ASSIGN_OR_RETURN(run.begin, ranges_.at(run.range).Allocate(run.bytes));
  }
  std::move(undo).Cancel();
  return absl::OkStatus();
}

uint64_t AdapterMemory::Free(std::span<const Run> runs) {
  std::lock_guard lock(mutex_);
  return FreeLocked(runs);
}

uint64_t AdapterMemory::FreeLocked(std::span<const Run> runs) {
  uint64_t pages = 0;
  for (const Run& run : runs) {
    PageRange& range = ranges_.at(run.range);
    const uint64_t before = range.mapped_pages();
    range.Free(run.begin);
    pages += before - range.mapped_pages();
  }
  return pages * page_bytes();
}

uint64_t AdapterMemory::BytesToAllocate(std::span<const Run> runs) const {
  std::map<size_t, std::vector<size_t>> sizes;
  for (const Run& run : runs) sizes[run.range].push_back(run.bytes);
  std::lock_guard lock(mutex_);
  uint64_t pages = 0;
  for (const auto& [range, of_range] : sizes) pages += ranges_.at(range).PagesToAllocate(of_range);
  return pages * page_bytes();
}

uint64_t AdapterMemory::BytesToFree(std::span<const std::span<const Run>> groups) const {
  std::map<size_t, std::vector<std::byte*>> begins;
  for (const std::span<const Run> group : groups) {
    for (const Run& run : group) begins[run.range].push_back(run.begin);
  }
  std::lock_guard lock(mutex_);
  uint64_t pages = 0;
  for (const auto& [range, of_range] : begins) pages += ranges_.at(range).PagesToFree(of_range);
  return pages * page_bytes();
}

uint64_t AdapterMemory::MappedShare(std::span<const Run> runs) const {
  std::lock_guard lock(mutex_);
  double share = 0.0;
  for (const Run& run : runs) share += ranges_.at(run.range).MappedShare(run.begin);
  return static_cast<uint64_t>(std::llround(share));
}

}  // namespace guildhall
