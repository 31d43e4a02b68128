// The part of the book about what is in memory.
#include <algorithm>

#include "base/check.h"
#include "weights/adapter_book.h"

namespace guildhall {

namespace {

void SortByLastUse(std::vector<AdapterBook::Version>& versions) {
  std::sort(versions.begin(), versions.end(),
            [](const auto& a, const auto& b) { return a->last_use < b->last_use; });
}

}  // namespace

std::vector<AdapterBook::Version> AdapterBook::Evictable(std::span<const Version> kept) const {
  std::vector<Version> versions;
  for (const auto& [name, entry] : entries_) {
    if (entry.serving == nullptr || !entry.serving->evictable()) continue;
    if (std::find(kept.begin(), kept.end(), entry.serving) == kept.end()) versions.push_back(entry.serving);
  }
  SortByLastUse(versions);
  return versions;
}

std::vector<AdapterBook::Version> AdapterBook::Held() const {
  std::vector<Version> versions;
  for (const Version& version : Versions()) {
    if (version->held()) versions.push_back(version);
  }
  SortByLastUse(versions);
  return versions;
}

bool AdapterBook::EvictOldest(std::span<const Version> kept) {
  const std::vector<Version> versions = Evictable(kept);
  if (versions.empty()) return false;
  LeaveMemory(*versions.front());
  return true;
}

template <typename Condition>
std::vector<std::shared_ptr<const ResidentAdapter>> AdapterBook::ResidentWhere(Condition condition) const {
  std::vector<std::shared_ptr<const ResidentAdapter>> adapters;
  const auto add = [&](const Version& version) {
    if (version != nullptr && version->resident != nullptr && condition(*version)) {
      adapters.push_back(version->resident);
    }
  };
  for (const auto& [name, entry] : entries_) add(entry.serving);
  for (const Version& version : replaced_) add(version);
  return adapters;
}

std::vector<std::shared_ptr<const ResidentAdapter>> AdapterBook::Pinned() const {
  return ResidentWhere(
      [](const AdapterVersion& version) { return version.info.pinned && !version.replaced; });
}

std::vector<std::shared_ptr<const ResidentAdapter>> AdapterBook::Read() const {
  return ResidentWhere([](const AdapterVersion& version) {
    return version.info.readers > 0 && (!version.info.pinned || version.replaced);
  });
}

int64_t AdapterBook::MostRankColumns() const {
  int64_t most = sets_.MostRankColumns();
  for (const auto& adapter : ResidentWhere([](const AdapterVersion&) { return true; })) {
    most = std::max(most, adapter->weights.rank_columns);
  }
  return most;
}

bool AdapterBook::AnyChangesKvB() const {
  const auto adapters = ResidentWhere([](const AdapterVersion&) { return true; });
  return std::any_of(adapters.begin(), adapters.end(), [](const auto& adapter) { return adapter->kv_b; });
}

// The one way out of memory. Where it goes is where its next load comes from.
void AdapterBook::LeaveMemory(AdapterVersion& version) {
  if (version.resident == nullptr) return;
  leaving_.push_back(version.resident->freed);
  version.resident = nullptr;
  version.info.tier = AdapterTier::kDisk;
}

void AdapterBook::SetFreed(Freed& freed, uint64_t bytes) {
  GH_CHECK(!freed.done);
  freed = {true, bytes};
  std::erase_if(leaving_, [&](const auto& one) { return one.get() == &freed; });
}

}  // namespace guildhall
