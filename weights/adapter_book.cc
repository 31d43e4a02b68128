#include "weights/adapter_book.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

std::string Named(const AdapterInfo& info) {
  return StrCat("adapter '", info.name, "' (version ", info.version, ")");
}

absl::Status NotLoaded(const std::string& name) {
  return absl::NotFoundError(StrCat("adapter '", name, "' is not loaded"));
}

}  // namespace

// A version and the job that loads it own each other until the job is done: those that never were, here.
AdapterBook::~AdapterBook() {
  for (const Job& job : queue_) job->version->job = nullptr;
  for (const Version& version : replaced_) version->job = nullptr;
  for (const auto& [name, entry] : entries_) {
    if (entry.loading != nullptr) entry.loading->version->job = nullptr;
    if (entry.serving != nullptr) entry.serving->job = nullptr;
  }
}

absl::StatusOr<std::vector<AdapterBook::Version>> AdapterBook::AddReaders(std::span<const AdapterUse> uses,
                                                                          absl::Time now) {
  std::vector<Version> versions;
  for (const AdapterUse& use : uses) {
    const auto entry = entries_.find(use.name);
    if (entry == entries_.end()) return NotLoaded(use.name);
    const Version& version = entry->second.serving;
    if (version == nullptr) {
      return absl::NotFoundError(StrCat("adapter '", use.name, "' is still being loaded"));
    }
    if (version->info.state == AdapterState::kDraining) {
      return absl::FailedPreconditionError(StrCat("adapter '", use.name, "' is being unloaded"));
    }
    versions.push_back(version);
  }
  for (const Version& version : versions) {
    ++version->info.readers;
    MarkUsed(*version, now);
  }
  return versions;
}

void AdapterBook::DropReaders(std::span<const Version> versions, absl::Time now) {
  for (const Version& version : versions) {
    GH_CHECK_GT(version->info.readers, 0);
    --version->info.readers;
    MarkUsed(*version, now);
  }
  std::erase_if(replaced_, [&](const Version& version) {
    if (version->info.readers > 0) return false;
    LeaveMemory(*version);
    sets_.Forget(version->info.version);
    return true;
  });
}

absl::Status AdapterBook::CheckTogether(std::span<const AdapterUse> uses) const {
  std::vector<ChosenAdapter> chosen;
  for (const AdapterUse& use : uses) {
    const auto entry = entries_.find(use.name);
    if (entry == entries_.end() || entry->second.serving == nullptr) continue;
    chosen.push_back({use.name, use.scale, entry->second.serving->changes.get()});
  }
  return guildhall::CheckTogether(chosen);
}

absl::StatusOr<AdapterBook::Version> AdapterBook::BeginUnload(const std::string& name,
                                                              std::optional<uint64_t> expected_version) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return NotLoaded(name);
  const Version version = entry->second.serving;
  if (version == nullptr) {
    return absl::FailedPreconditionError(StrCat("adapter '", name, "' is still being loaded: cancel that"));
  }
  AdapterInfo& info = version->info;
  if (info.state == AdapterState::kDraining) {
    return absl::AbortedError(StrCat(Named(info), " is being unloaded already"));
  }
  if (expected_version.has_value() && *expected_version != info.version) {
    return absl::AbortedError(StrCat("adapter '", name, "': version ", *expected_version,
                                     " was expected, found version ", info.version));
  }
  info.state = AdapterState::kDraining;
  if (version->job != nullptr) Cancel(version->job);
  return version;
}

absl::Status AdapterBook::GiveUpUnload(AdapterVersion& version, absl::Duration waited) {
  GH_CHECK(version.info.state == AdapterState::kDraining);
  const AdapterInfo& info = version.info;
  version.info.state = AdapterState::kReady;
  if (info.readers == 0) {
    return absl::FailedPreconditionError(StrCat(Named(info), ": its load from disk is still ending after ",
                                                absl::FormatDuration(waited),
                                                ": it stays loaded; wait longer"));
  }
  return absl::FailedPreconditionError(
      StrCat(Named(info), " is still read by ", info.readers, info.readers == 1 ? " request" : " requests",
             " after ", absl::FormatDuration(waited), ": it stays loaded; wait longer, or cancel them"));
}

void AdapterBook::EndUnload(const Version& version) {
  GH_CHECK(Unused(*version));
  LeaveMemory(*version);
  sets_.Forget(version->info.version);
  const auto entry = entries_.find(version->info.name);
  GH_CHECK(entry != entries_.end() && entry->second.serving == version);
  entry->second.serving = nullptr;
  if (entry->second.loading == nullptr) entries_.erase(entry);
}

absl::StatusOr<AdapterBook::Version> AdapterBook::Serving(const std::string& name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end() || entry->second.serving == nullptr) return NotLoaded(name);
  return entry->second.serving;
}

absl::StatusOr<AdapterBook::Version> AdapterBook::ServingOrLoading(const std::string& name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return NotLoaded(name);
  return entry->second.serving != nullptr ? entry->second.serving : entry->second.loading->version;
}

std::vector<AdapterBook::Version> AdapterBook::Versions() const {
  std::vector<Version> versions;
  ForEach([&](const Version& version) { versions.push_back(version); });
  std::sort(versions.begin(), versions.end(), [](const Version& a, const Version& b) {
    return std::tie(a->info.name, a->info.version) < std::tie(b->info.name, b->info.version);
  });
  return versions;
}

void AdapterBook::Clear() {
  GH_CHECK(replaced_.empty() && queue_.empty());
  for (const auto& [name, entry] : entries_) {
    GH_CHECK(entry.loading == nullptr);
    GH_CHECK(Unused(*entry.serving));
    LeaveMemory(*entry.serving);
  }
  entries_.clear();
}

void AdapterBook::MarkUsed(AdapterVersion& version, absl::Time now) {
  version.last_use = ++uses_;
  version.info.last_used = now;
}

}  // namespace guildhall
