#include "weights/page_range.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "base/align.h"
#include "base/check.h"
#include "base/status.h"

namespace guildhall {
namespace {

constexpr size_t kFirstExtentPages = 64;

}  // namespace

PageRange::PageRange(PageRange&&) noexcept = default;

PageRange::~PageRange() {
  for (const Extent& extent : extents_) {
    GH_CHECK(extent.runs.empty());
    pool_->memory().Unreserve(extent.begin, extent.bytes);
  }
}

bool PageRange::FindPlace(const std::vector<Extent>& extents, size_t bytes, Place& place) {
  for (place.extent = 0; place.extent < extents.size(); ++place.extent) {
    const Extent& extent = extents[place.extent];
    place.offset = 0;
    for (const auto& [offset, run] : extent.runs) {
      if (offset - place.offset >= bytes) return true;
      place.offset = offset + run;
    }
    if (extent.bytes - place.offset >= bytes) return true;
  }
  return false;
}

PageRange::Pages PageRange::PagesOf(size_t offset, size_t bytes) const {
  const size_t page = pool_->page_bytes();
  const size_t first = offset / page;
  return {first, (offset + bytes - 1) / page - first + 1};
}

PageRange::Extent PageRange::NextExtent(const std::vector<Extent>& extents, size_t bytes) const {
  const size_t page = pool_->page_bytes();
  size_t reserved = kFirstExtentPages * page;
  for (const Extent& extent : extents) reserved += extent.bytes;
  Extent next;
  next.bytes = std::max(reserved, AlignUp(bytes, page));
  next.page_users.resize(next.bytes / page);
  return next;
}

PageRange::Place PageRange::PlaceOf(const std::byte* begin) const {
  for (size_t i = 0; i < extents_.size(); ++i) {
    const Extent& extent = extents_[i];
    if (begin < extent.begin || begin >= extent.begin + extent.bytes) continue;
    const auto offset = static_cast<size_t>(begin - extent.begin);
    GH_CHECK(extent.runs.count(offset) == 1);
    return {i, offset};
  }
  CheckFailed(__FILE__, __LINE__, "a run of this range");
}

// The pages inside a run are its own, only those at its borders may have other users: so what changes is one
// stretch.
PageRange::Pages PageRange::AddUsers(Extent& extent, size_t offset, size_t bytes) const {
  extent.runs.emplace(offset, bytes);
  const Pages pages = PagesOf(offset, bytes);
  Pages fresh;
  for (size_t p = pages.first; p < pages.first + pages.count; ++p) {
    if (extent.page_users[p]++ > 0) continue;
    if (fresh.count++ == 0) fresh.first = p;
  }
  return fresh;
}

PageRange::Pages PageRange::DropUsers(Extent& extent, size_t offset, size_t bytes) const {
  const Pages pages = PagesOf(offset, bytes);
  Pages unused;
  for (size_t p = pages.first; p < pages.first + pages.count; ++p) {
    if (--extent.page_users[p] > 0) continue;
    if (unused.count++ == 0) unused.first = p;
  }
  extent.runs.erase(offset);
  return unused;
}

absl::StatusOr<std::byte*> PageRange::Allocate(size_t bytes) {
  GH_CHECK_GT(bytes, size_t{0});
  const size_t page = pool_->page_bytes();
  bytes = AlignUp(bytes);
  Place place;
  const bool reserve = !FindPlace(extents_, bytes, place);
  if (reserve) {
    extents_.reserve(extents_.size() + 1);
    Extent extent = NextExtent(extents_, bytes);
    GH_ASSIGN_OR_RETURN(extent.begin, pool_->memory().Reserve(extent.bytes));
    extents_.push_back(std::move(extent));
    place = {extents_.size() - 1, 0};
  }
  absl::Cleanup unreserve = [&] {
    if (!reserve) return;
    pool_->memory().Unreserve(extents_.back().begin, extents_.back().bytes);
    extents_.pop_back();
  };
  Extent& extent = extents_[place.extent];
  const Pages fresh = AddUsers(extent, place.offset, bytes);
  absl::Cleanup drop_users = [&] { DropUsers(extent, place.offset, bytes); };
  if (fresh.count > 0) GH_RETURN_IF_ERROR(pool_->Map(extent.begin + fresh.first * page, fresh.count));
  std::move(drop_users).Cancel();
  std::move(unreserve).Cancel();
  mapped_pages_ += fresh.count;
  return extent.begin + place.offset;
}

void PageRange::Free(std::byte* begin) {
  const Place place = PlaceOf(begin);
  Extent& extent = extents_[place.extent];
  const Pages unused = DropUsers(extent, place.offset, extent.runs.at(place.offset));
  if (unused.count > 0) pool_->Unmap(extent.begin + unused.first * pool_->page_bytes(), unused.count);
  mapped_pages_ -= unused.count;
}

size_t PageRange::PagesToAllocate(std::span<const size_t> sizes) const {
  std::vector<Extent> extents = extents_;
  size_t pages = 0;
  for (const size_t size : sizes) {
    const size_t bytes = AlignUp(size);
    Place place;
    if (!FindPlace(extents, bytes, place)) {
      extents.push_back(NextExtent(extents, bytes));
      place = {extents.size() - 1, 0};
    }
    pages += AddUsers(extents[place.extent], place.offset, bytes).count;
  }
  return pages;
}

size_t PageRange::PagesToFree(std::span<std::byte* const> runs) const {
  std::vector<Extent> extents = extents_;
  size_t pages = 0;
  for (const std::byte* begin : runs) {
    const Place place = PlaceOf(begin);
    Extent& extent = extents[place.extent];
    pages += DropUsers(extent, place.offset, extent.runs.at(place.offset)).count;
  }
  return pages;
}

double PageRange::MappedShare(std::byte* begin) const {
  const Place place = PlaceOf(begin);
  const Extent& extent = extents_[place.extent];
  const Pages pages = PagesOf(place.offset, extent.runs.at(place.offset));
  double share = 0.0;
  for (size_t p = pages.first; p < pages.first + pages.count; ++p) {
    share += static_cast<double>(pool_->page_bytes()) / extent.page_users[p];
  }
  return share;
}

}  // namespace guildhall
