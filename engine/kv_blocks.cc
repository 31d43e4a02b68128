#include "engine/kv_blocks.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <utility>

#include "base/check.h"

namespace guildhall {
namespace {

// splitmix64's finaliser: every input bit reaches every output bit.
uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

KvBlocks::KvBlocks(int64_t blocks, bool prefix_cache, uint64_t hash_mask)
    : prefix_cache_(prefix_cache), hash_mask_(hash_mask) {
  GH_CHECK_GT(blocks, 0);
  GH_CHECK_LE(blocks, std::numeric_limits<int32_t>::max());
  entries_.resize(static_cast<size_t>(blocks));
  references_.resize(entries_.size());
  unused_.reserve(entries_.size());
  buckets_.assign(std::bit_ceil(entries_.size() * 2), -1);
  Grow(blocks);
}

void KvBlocks::AddUnused(int32_t block) {
  unused_.push_back(block);
  std::push_heap(unused_.begin(), unused_.end(), std::greater<>());
}

void KvBlocks::Grow(int64_t size) {
  GH_CHECK_LE(size, total());
  for (; size_ < size; ++size_) AddUnused(static_cast<int32_t>(size_));
}

void KvBlocks::Shrink(int64_t size) {
  GH_CHECK_GE(size, HeldEnd());
  for (auto block = static_cast<int32_t>(size); block < size_; ++block) {
    if (At(block).node == kRootNode) continue;
    ListRemove(block);
    Forget(block);
  }
  std::erase_if(unused_, [size](int32_t block) { return block >= size; });
  std::make_heap(unused_.begin(), unused_.end(), std::greater<>());
  size_ = std::min(size_, size);
}

int64_t KvBlocks::HeldEnd() const {
  int64_t end = size_;
  while (end > 0 && references(static_cast<int32_t>(end - 1)) == 0) --end;
  return end;
}

int32_t KvBlocks::Allocate() {
  int32_t block = -1;
  if (!unused_.empty()) {
    std::pop_heap(unused_.begin(), unused_.end(), std::greater<>());
    block = unused_.back();
    unused_.pop_back();
  } else {
    block = oldest_;
    GH_CHECK_GE(block, 0);
    ListRemove(block);
    Forget(block);
  }
  References(block) = 1;
  return block;
}

void KvBlocks::Release(int32_t block) {
  GH_CHECK_GT(References(block), 0);
  if (--References(block) > 0) return;
  if (At(block).node != kRootNode) {
    ListAppend(block);
  } else {
    AddUnused(block);
  }
}

PrefixNode KvBlocks::Register(int32_t block, PrefixNode parent, PrefixSpace space,
                              std::span<const int32_t> tokens) {
  if (!prefix_cache_) return kRootNode;
  GH_CHECK_EQ(tokens.size(), static_cast<size_t>(kKvBlockTokens));
  Entry& entry = At(block);
  GH_CHECK_GT(References(block), 0);
  GH_CHECK_EQ(entry.node, kRootNode);
  if (const int32_t same = Lookup(parent, space, tokens.data()); same >= 0) return At(same).node;
  entry.node = ++last_node_;
  entry.parent = parent;
  entry.space = space;
  entry.hash = Hash(parent, space, tokens.data());
  std::copy(tokens.begin(), tokens.end(), entry.tokens);
  entry.next = std::exchange(Bucket(entry.hash), block);
  return entry.node;
}

KvBlocks::Hit KvBlocks::Find(PrefixSpace space, std::span<const int32_t> tokens, int64_t max_tokens) const {
  Hit hit;
  PrefixNode node = kRootNode;
  const int64_t limit = std::min(max_tokens, static_cast<int64_t>(tokens.size())) / kKvBlockTokens;
  for (int64_t i = 0; prefix_cache_ && i < limit; ++i) {
    const int32_t block = Lookup(node, space, tokens.data() + i * kKvBlockTokens);
    if (block < 0) break;
    node = At(block).node;
    ++hit.blocks;
    if (references(block) == 0) ++hit.unreferenced;
  }
  return hit;
}

PrefixNode KvBlocks::Acquire(PrefixSpace space, std::span<const int32_t> tokens, int64_t max_tokens,
                             std::vector<int32_t>& blocks) {
  const Hit hit = Find(space, tokens, max_tokens);
  blocks.reserve(blocks.size() + static_cast<size_t>(hit.blocks));  // what can throw comes before any change
  PrefixNode node = kRootNode;
  for (int32_t i = 0; i < hit.blocks; ++i) {
    const int32_t block = Lookup(node, space, tokens.data() + static_cast<int64_t>(i) * kKvBlockTokens);
    if (References(block)++ == 0) ListRemove(block);
    node = At(block).node;
    blocks.push_back(block);
  }
  return node;
}

uint64_t KvBlocks::Hash(PrefixNode parent, PrefixSpace space, const int32_t* tokens) const {
  uint64_t hash = Mix(parent + 0x9e3779b97f4a7c15u) ^ space;
  for (int i = 0; i < kKvBlockTokens; ++i)
    hash = Mix(hash + static_cast<uint32_t>(tokens[i]) + 0x9e3779b97f4a7c15u);
  return hash & hash_mask_;
}

int32_t KvBlocks::Lookup(PrefixNode parent, PrefixSpace space, const int32_t* tokens) const {
  const uint64_t hash = Hash(parent, space, tokens);
  int32_t block = buckets_[hash & (buckets_.size() - 1)];
  for (; block >= 0; block = At(block).next) {
    const Entry& entry = At(block);
    if (entry.hash == hash && entry.parent == parent && entry.space == space &&
        std::equal(tokens, tokens + kKvBlockTokens, entry.tokens)) {
      return block;
    }
  }
  return -1;
}

void KvBlocks::Forget(int32_t block) {
  Entry& entry = At(block);
  int32_t* link = &Bucket(entry.hash);
  while (*link != block) link = &At(*link).next;
  *link = entry.next;
  entry.next = -1;
  entry.node = kRootNode;
}

void KvBlocks::ListAppend(int32_t block) {
  Entry& entry = At(block);
  entry.newer = -1;
  entry.older = newest_;
  (newest_ >= 0 ? At(newest_).newer : oldest_) = block;
  newest_ = block;
  ++cached_;
}

void KvBlocks::ListRemove(int32_t block) {
  Entry& entry = At(block);
  (entry.newer >= 0 ? At(entry.newer).older : newest_) = entry.older;
  (entry.older >= 0 ? At(entry.older).newer : oldest_) = entry.newer;
  entry.newer = entry.older = -1;
  --cached_;
}

}  // namespace guildhall
