// Who holds which KV block, and which blocks still hold a prefix that a later request can use.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/prefix_spaces.h"
#include "kernels/ops.h"

namespace guildhall {

// Blocks that so many tokens of one sequence take.
inline constexpr int64_t KvBlocksFor(int64_t tokens) {
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}

// A full block's identity in the prefix cache: a node is one exact (space, token prefix), numbered once and
// never again. kRootNode is the empty prefix.
using PrefixNode = uint64_t;
inline constexpr PrefixNode kRootNode = 0;

// Bookkeeping of block ids with reference counts; the keys themselves live in the model. A full block may be
// entered into the prefix cache; when nobody holds it, it stays findable until it is the least recently used
// one and its memory is needed. A look-up compares the space, the parent node and every token: the
// hash only finds the bucket. Ids from `size` on are out of use until it grows again; low ids are given
// first, so that it can shrink. All memory is taken in the constructor. Engine thread only.
class KvBlocks {
 public:
  // `hash_mask` thins the hash: tests make every block collide with it.
  KvBlocks(int64_t blocks, bool prefix_cache, uint64_t hash_mask = ~uint64_t{0});

  int64_t total() const { return static_cast<int64_t>(entries_.size()); }
  int64_t size() const { return size_; }  // blocks in use: all, at first
  void Grow(int64_t size);
  // Forgets what is cached from `size` on. CHECKs that nobody holds any of it.
  void Shrink(int64_t size);
  // How far Shrink can go: behind the last block that somebody holds.
  int64_t HeldEnd() const;

  // Blocks that Allocate can give: unused ones and cached ones that nobody holds.
  int64_t available() const { return static_cast<int64_t>(unused_.size()) + cached_; }
  int64_t unused() const { return static_cast<int64_t>(unused_.size()); }
  int64_t cached() const { return cached_; }

  // A block for one holder. CHECKs available() > 0.
  int32_t Allocate();
  void Release(int32_t block);
  int32_t references(int32_t block) const { return references_[static_cast<size_t>(block)]; }

  // Enters a full block that follows `parent`. If the same prefix is cached already, that one stays and this
  // block remains its holder's own. Returns the node of the prefix. kRootNode when the cache is off.
  PrefixNode Register(int32_t block, PrefixNode parent, PrefixSpace space, std::span<const int32_t> tokens);

  struct Hit {
    int32_t blocks = 0;
    int32_t unreferenced = 0;  // of these, how many count as available now
  };
  // The longest cached prefix of `tokens` in whole blocks, at most `max_tokens` long. Changes nothing.
  Hit Find(PrefixSpace space, std::span<const int32_t> tokens, int64_t max_tokens) const;
  // As Find, and becomes a holder of each block: ids are appended to `blocks`. Returns the last node.
  PrefixNode Acquire(PrefixSpace space, std::span<const int32_t> tokens, int64_t max_tokens,
                     std::vector<int32_t>& blocks);

 private:
  struct Entry {
    int32_t next = -1;               // in the hash bucket
    int32_t newer = -1, older = -1;  // in the list of cached blocks that nobody holds
    PrefixNode node = kRootNode;     // not kRootNode: in the prefix cache
    PrefixNode parent = kRootNode;
    PrefixSpace space = kBaseSpace;
    uint64_t hash = 0;
    int32_t tokens[kKvBlockTokens] = {};
  };

  Entry& At(int32_t block) { return entries_[static_cast<size_t>(block)]; }
  const Entry& At(int32_t block) const { return entries_[static_cast<size_t>(block)]; }
  int32_t& Bucket(uint64_t hash) { return buckets_[hash & (buckets_.size() - 1)]; }
  uint64_t Hash(PrefixNode parent, PrefixSpace space, const int32_t* tokens) const;
  int32_t& References(int32_t block) { return references_[static_cast<size_t>(block)]; }
  int32_t Lookup(PrefixNode parent, PrefixSpace space, const int32_t* tokens) const;
  void Forget(int32_t block);      // leaves the hash table
  void ListAppend(int32_t block);  // newest end
  void ListRemove(int32_t block);

  void AddUnused(int32_t block);

  const bool prefix_cache_;
  const uint64_t hash_mask_;
  std::vector<Entry> entries_;       // (blocks)
  std::vector<int32_t> references_;  // (blocks) holders
  std::vector<int32_t> unused_;      // neither held nor cached; a heap, the least id on top
  std::vector<int32_t> buckets_;     // (power of two) first block of the bucket, -1: none
  int32_t oldest_ = -1, newest_ = -1;
  int64_t cached_ = 0;  // length of that list
  int64_t size_ = 0;
  PrefixNode last_node_ = kRootNode;
};

}  // namespace guildhall
