#include "weights/adapter_faults.h"

#include <algorithm>
#include <bit>
#include <new>

#include "base/check.h"
#include "base/log.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMostEntries = 1024;

AdapterFaults::Key KeyOf(const AdapterSet& set) {
  AdapterFaults::Key key;
  for (const AdapterSet::Member& member : set.members) {
    key.emplace_back(member.version, std::bit_cast<uint32_t>(member.scale));
  }
  return key;
}

// "math@1 bad@3"
std::string NamesOf(const AdapterSet& set) {
  std::string names;
  for (const AdapterSet::Member& member : set.members) {
    StrAppend(&names, names.empty() ? "" : " ", member.name, "@", member.version);
  }
  return names;
}

// "adapter bad (version 3)", "adapters math (version 1) and bad (version 3) together"
std::string NamesOf(std::span<const AdapterUse> uses, std::span<const uint64_t> versions) {
  std::string names = uses.size() == 1 ? "adapter " : "adapters ";
  for (size_t i = 0; i < uses.size(); ++i) {
    StrAppend(&names, i == 0 ? "" : " and ", uses[i].name, " (version ", versions[i], ")");
  }
  return uses.size() == 1 ? names : names + " together";
}

}  // namespace

void AdapterFaults::Suspect(const AdapterSet& set, std::string_view told) {
  try {
    const std::lock_guard lock(mutex_);
    Entry& entry = entries_[KeyOf(set)];
    ++entry.suspected;
    entry.last = next_++;
    if (entry.names.empty()) entry.names = NamesOf(set);
    entry.told = told;
    any_.store(true, std::memory_order_relaxed);
    if (entries_.size() > kMostEntries) DropOldest();
  } catch (const std::bad_alloc&) {
  }
}

void AdapterFaults::DropOldest() {
  entries_.erase(std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
    return a.second.last < b.second.last;
  }));
}

void AdapterFaults::Confirm() {
  const std::lock_guard lock(mutex_);
  for (auto& [key, entry] : entries_) {
    const bool before = ShutOff(entry);
    entry.faults += entry.suspected;
    entry.in_a_row += entry.suspected;
    entry.suspected = 0;
    if (before || !ShutOff(entry)) continue;
    Log().error("shut off after {} failures in a row: {}; the last one: {}", entry.in_a_row, entry.names,
                entry.told);
  }
}

void AdapterFaults::Dismiss() {
  const std::lock_guard lock(mutex_);
  for (auto& [key, entry] : entries_) entry.suspected = 0;
}

void AdapterFaults::Succeeded(const AdapterSet& set) {
  if (!any()) return;
  try {
    const std::lock_guard lock(mutex_);
    const auto at = entries_.find(KeyOf(set));
    if (at == entries_.end() || ShutOff(at->second)) return;  // what ran already does not let others in again
    at->second.faults += at->second.suspected;
    at->second.suspected = at->second.in_a_row = 0;
  } catch (const std::bad_alloc&) {
  }
}

absl::Status AdapterFaults::Check(std::span<const AdapterUse> uses,
                                  std::span<const uint64_t> versions) const {
  GH_CHECK_EQ(uses.size(), versions.size());
  if (shut_off_after_ == 0 || !any()) return absl::OkStatus();
  Key key;
  for (size_t i = 0; i < uses.size(); ++i) {
    key.emplace_back(versions[i], std::bit_cast<uint32_t>(uses[i].scale));
  }
  const std::lock_guard lock(mutex_);
  const auto at = entries_.find(key);
  if (at == entries_.end() || !ShutOff(at->second)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(NamesOf(uses, versions), uses.size() == 1 ? " is" : " are",
             " shut off (adapters.shut_off_after): ", at->second.in_a_row,
             " requests in a row failed while the base gives good numbers; the last one: ", at->second.told,
             ". Load another version under the name, or take it out of the task"));
}

void AdapterFaults::Tell(AdapterInfo& info) const {
  if (!any()) return;
  const std::lock_guard lock(mutex_);
  uint64_t last = 0;
  for (const auto& [key, entry] : entries_) {
    const bool with =
        std::any_of(key.begin(), key.end(), [&](const auto& use) { return use.first == info.version; });
    if (!with || entry.faults == 0) continue;
    info.faults += entry.faults;
    info.consecutive_faults = std::max(info.consecutive_faults, entry.in_a_row);
    info.shut_off = info.shut_off || ShutOff(entry);
    if (entry.last > last) info.last_fault = entry.told;
    last = std::max(last, entry.last);
  }
}

}  // namespace guildhall
