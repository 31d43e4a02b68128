// Virtual ranges in which tensors lie densely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "weights/page_pool.h"

namespace guildhall {

// A virtually contiguous home of one kind of tensor (one layer's expert gate/up, for instance). Runs lie
// densely, 64-byte aligned, first fit; a page is mapped while any run touches it, so neighbours share their
// border pages. Not thread-safe. Addresses are reserved extent by extent, each as large as all before it, and
// kept until the end.
class PageRange {
 public:
  explicit PageRange(PagePool& pool) : pool_(&pool) {}
  PageRange(PageRange&&) noexcept;
  ~PageRange();  // CHECK: every run was freed

  // RESOURCE_EXHAUSTED, or std::bad_alloc; then nothing has changed. bytes > 0.
  absl::StatusOr<std::byte*> Allocate(size_t bytes);
  void Free(std::byte* begin);

  // Pages that allocating runs of these sizes in turn would map beyond those that are mapped, and pages that
  // freeing these runs, all together, would give back.
  size_t PagesToAllocate(std::span<const size_t> sizes) const;
  size_t PagesToFree(std::span<std::byte* const> runs) const;
  // The bytes of the run's pages, those that it shares with other runs divided by their number.
  double MappedShare(std::byte* begin) const;

  uint64_t mapped_pages() const { return mapped_pages_; }

 private:
  struct Extent {
    std::byte* begin = nullptr;
    size_t bytes = 0;
    std::vector<uint32_t> page_users;  // (pages) runs that touch it
    std::map<size_t, size_t> runs;     // offset -> bytes
  };
  // A stretch of pages of an extent.
  struct Pages {
    size_t first = 0, count = 0;
  };
  struct Place {
    size_t extent = 0, offset = 0;
  };

  static bool FindPlace(const std::vector<Extent>& extents, size_t bytes, Place& place);
  Pages PagesOf(size_t offset, size_t bytes) const;
  // What comes behind `extents`, without addresses: it holds a run of `bytes`.
  Extent NextExtent(const std::vector<Extent>& extents, size_t bytes) const;
  Place PlaceOf(const std::byte* begin) const;
  // Enters or leaves the run; those of its pages that got their first or lost their last user.
  Pages AddUsers(Extent& extent, size_t offset, size_t bytes) const;
  Pages DropUsers(Extent& extent, size_t offset, size_t bytes) const;

  PagePool* pool_;
  std::vector<Extent> extents_;
  uint64_t mapped_pages_ = 0;
};

}  // namespace guildhall
