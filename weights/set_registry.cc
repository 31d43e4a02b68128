#include "weights/set_registry.h"

#include <algorithm>

namespace guildhall {
namespace {

// Combinations whose ids are remembered though nobody holds them.
constexpr size_t kMostUnheld = 4096;

}  // namespace

std::shared_ptr<const AdapterSet> SetRegistry::Find(const Key& key) const {
  const auto entry = entries_.find(key);
  return entry == entries_.end() ? nullptr : entry->second.set.lock();
}

void SetRegistry::Add(const Key& key, const std::shared_ptr<AdapterSet>& set) {
  Entry& entry = entries_[key];
  if (entry.id == 0) entry.id = next_id_++;
  set->id = entry.id;
  entry.set = set;
  if (entries_.size() <= kMostUnheld) return;
  std::erase_if(entries_, [](const auto& other) { return other.second.set.expired(); });
}

void SetRegistry::Forget(uint64_t version) {
  std::erase_if(entries_, [&](const auto& entry) {
    return std::any_of(entry.first.begin(), entry.first.end(),
                       [&](const auto& member) { return member.first == version; });
  });
}

int64_t SetRegistry::MostRankColumns() const {
  int64_t most = 0;
  for (const auto& [key, entry] : entries_) {
    if (const auto set = entry.set.lock()) most = std::max(most, set->rank_columns);
  }
  return most;
}

}  // namespace guildhall
