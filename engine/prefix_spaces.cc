#include "engine/prefix_spaces.h"

#include <functional>
#include <new>

#include "base/check.h"

namespace guildhall {

PrefixSpaces::PrefixSpaces(size_t capacity) : capacity_(capacity) {
  GH_CHECK_GT(capacity, size_t{0});
}

size_t PrefixSpaces::KeyHash::operator()(const Key& key) const {
  return std::hash<std::string_view>()(key.salt) ^ static_cast<size_t>(key.set * 0x9e3779b97f4a7c15u);
}

PrefixSpace PrefixSpaces::Intern(uint64_t set, std::string_view salt) noexcept {
  if (set == 0 && salt.empty()) return kBaseSpace;
  if (const auto at = places_.find({set, salt}); at != places_.end()) {
    entries_.splice(entries_.begin(), entries_, at->second);
    return at->second->space;
  }
  try {
    return Insert(set, salt);
  } catch (const std::bad_alloc&) {
    return ++last_;
  }
}

PrefixSpace PrefixSpaces::Insert(uint64_t set, std::string_view salt) {
  if (entries_.size() == capacity_) {
    const Entry& oldest = entries_.back();
    places_.erase({oldest.set, oldest.salt});
    entries_.pop_back();
  }
  entries_.push_front({.set = set, .salt = std::string(salt), .space = ++last_});
  const Entry& entry = entries_.front();
  try {
    places_.emplace(Key{entry.set, entry.salt}, entries_.begin());
  } catch (const std::bad_alloc&) {
    entries_.pop_front();
    throw;
  }
  return last_;
}

}  // namespace guildhall
