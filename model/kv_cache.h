// The memory of the KV cache: a range of the device's pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/page_memory.h"

namespace guildhall {

// A block holds kKvBlockTokens tokens of all layers, one layer behind the other, and blocks lie densely: the
// first n blocks are one stretch of addresses, so that their memory is known to less than a page. Engine
// thread, but for Reserve. The page memory outlives it.
class KvCache {
 public:
  // `layer_bytes`: of one block of one layer. Without memory yet. RESOURCE_EXHAUSTED.
  static absl::StatusOr<KvCache> Reserve(PageMemory& pages, int64_t blocks, size_t layer_bytes,
                                         size_t layers);
  KvCache() = default;
  KvCache(KvCache&& other) noexcept { *this = std::move(other); }
  KvCache& operator=(KvCache&& other) noexcept;
  ~KvCache();

  // Where a layer's first block is; its next one is block_bytes() behind.
  std::byte* Layer(size_t layer) const { return begin_ + layer * layer_bytes_; }
  size_t block_bytes() const { return layer_bytes_ * layers_; }
  // Blocks that fill about a page.
  int64_t page_blocks() const;

  // Gives the first `count` blocks memory and takes it from all others. RESOURCE_EXHAUSTED; then nothing has
  // changed.
  absl::Status Resize(int64_t count);

 private:
  size_t PagesOf(int64_t blocks) const;

  PageMemory* pages_ = nullptr;
  std::byte* begin_ = nullptr;
  size_t reserved_ = 0;  // bytes
  size_t layer_bytes_ = 0, layers_ = 0;
  size_t mapped_ = 0;  // pages
};

}  // namespace guildhall
