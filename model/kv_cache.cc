#include "model/kv_cache.h"

#include <algorithm>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"

namespace guildhall {

absl::StatusOr<KvCache> KvCache::Reserve(PageMemory& pages, int64_t blocks, size_t layer_bytes,
                                         size_t layers) {
  KvCache cache;
  cache.layer_bytes_ = layer_bytes;
  cache.layers_ = layers;
  cache.reserved_ = AlignUp(static_cast<size_t>(blocks) * cache.block_bytes(), pages.page_bytes());
  GH_ASSIGN_OR_RETURN(cache.begin_, pages.Reserve(cache.reserved_));
  cache.pages_ = &pages;
  return cache;
}

KvCache& KvCache::operator=(KvCache&& other) noexcept {
  std::swap(pages_, other.pages_);
  std::swap(begin_, other.begin_);
  std::swap(reserved_, other.reserved_);
  std::swap(layer_bytes_, other.layer_bytes_);
  std::swap(layers_, other.layers_);
  std::swap(mapped_, other.mapped_);
  return *this;
}

KvCache::~KvCache() {
  if (pages_ == nullptr) return;
  (void)Resize(0);
  pages_->Unreserve(begin_, reserved_);
}

int64_t KvCache::page_blocks() const {
  return std::max<int64_t>(1, static_cast<int64_t>(pages_->page_bytes() / block_bytes()));
}

size_t KvCache::PagesOf(int64_t blocks) const {
  return AlignUp(static_cast<size_t>(blocks) * block_bytes(), pages_->page_bytes()) / pages_->page_bytes();
}

absl::Status KvCache::Resize(int64_t count) {
  const size_t page = pages_->page_bytes(), wanted = PagesOf(count);
  GH_CHECK_LE(wanted * page, reserved_);
  if (wanted > mapped_) GH_RETURN_IF_ERROR(pages_->Map(begin_ + mapped_ * page, (wanted - mapped_) * page));
  if (wanted < mapped_) pages_->Unmap(begin_ + wanted * page, (mapped_ - wanted) * page);
  mapped_ = wanted;
  return absl::OkStatus();
}

}  // namespace guildhall
