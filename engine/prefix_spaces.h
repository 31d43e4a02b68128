// Which requests may share prefixes: those with the same adapters and the same cache salt.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace guildhall {

// Two requests with the same number may use each other's KV blocks; 0 is the base without a salt.
using PrefixSpace = uint64_t;
inline constexpr PrefixSpace kBaseSpace = 0;

// Numbers (adapter set, salt). Bounded: the pair that nobody asked for longest is forgotten and gets a new
// number when it comes back, so that its old prefixes are not found; a number is never given twice. Engine
// thread only.
class PrefixSpaces {
 public:
  explicit PrefixSpaces(size_t capacity = 4096);
  PrefixSpaces(const PrefixSpaces&) = delete;
  PrefixSpaces& operator=(const PrefixSpaces&) = delete;

  // `set`: AdapterSet::id, 0 for the base. Never throws: without memory the number is new and not kept.
  PrefixSpace Intern(uint64_t set, std::string_view salt) noexcept;

 private:
  struct Key {
    uint64_t set = 0;
    std::string_view salt;  // of the entry
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Entry {
    uint64_t set = 0;
    std::string salt;
    PrefixSpace space = kBaseSpace;
  };
  using Entries = std::list<Entry>;

  PrefixSpace Insert(uint64_t set, std::string_view salt);

  const size_t capacity_;
  Entries entries_;  // the last asked for first
  std::unordered_map<Key, Entries::iterator, KeyHash> places_;
  PrefixSpace last_ = kBaseSpace;
};

}  // namespace guildhall
