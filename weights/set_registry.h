// The ids of adapter sets.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "weights/adapter_set.h"

namespace guildhall {

// A combination keeps its id while all its versions exist, whoever holds it, and no other one ever gets it:
// what was computed with a set is found again under its id. Sets themselves live as long as requests hold
// them. Not thread-safe.
class SetRegistry {
 public:
  // Versions with the bits of their factors, in the members' order.
  using Key = std::vector<std::pair<uint64_t, uint32_t>>;

  // Whether the combination has an id.
  bool Knows(const Key& key) const { return entries_.contains(key); }
  // The set that requests hold; null: none does.
  std::shared_ptr<const AdapterSet> Find(const Key& key) const;
  // Gives the set its id.
  void Add(const Key& key, const std::shared_ptr<AdapterSet>& set);
  // The version is gone for ever: so are all combinations with it.
  void Forget(uint64_t version);

  // Of the sets that requests hold; 0: none.
  int64_t MostRankColumns() const;

 private:
  struct Entry {
    uint64_t id = 0;
    std::weak_ptr<const AdapterSet> set;
  };
  std::map<Key, Entry> entries_;
  uint64_t next_id_ = 1;
};

}  // namespace guildhall
