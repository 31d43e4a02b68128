// The part of the book about readers that wait for memory.
#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "weights/adapter_book.h"

namespace guildhall {
namespace {

bool Waits(const WaitingReader& reader, const AdapterVersion& version) {
  return std::any_of(reader.versions.begin(), reader.versions.end(),
                     [&](const auto& one) { return one.get() == &version; });
}

absl::Status BeingUnloaded(const AdapterInfo& info) {
  return absl::FailedPreconditionError(StrCat("adapter '", info.name, "' is being unloaded"));
}

}  // namespace

bool AdapterBook::BeginWait(const std::shared_ptr<WaitingReader>& reader) {
  for (const Version& version : reader->versions) ++version->waiting;
  waiting_.push_back(reader);
  LookAgain(*reader);
  return !reader->done;
}

void AdapterBook::EndWait(WaitingReader& reader, absl::StatusOr<bool> outcome) {
  if (reader.done) return;
  reader.done = true;
  reader.outcome = std::move(outcome);
  for (const Version& version : reader.versions) --version->waiting;
  std::erase_if(waiting_, [&](const auto& one) { return one.get() == &reader; });
}

// Asked in the moment in which the last of its versions has come: nobody evicts one in between.
void AdapterBook::LookAgain(WaitingReader& reader) {
  bool there = true;
  for (const Version& version : reader.versions) {
    if (version->resident != nullptr) continue;
    there = false;
    if (version->replaced) return EndWait(reader, false);
    if (version->info.state == AdapterState::kDraining) return EndWait(reader, BeingUnloaded(version->info));
    AddReturn(version);
  }
  if (there) EndWait(reader, true);
}

// What became of a job, for all who wait for its version.
void AdapterBook::Tell(const LoadJob& job) {
  const auto waiting = waiting_;
  for (const auto& reader : waiting) {
    if (!Waits(*reader, *job.version)) continue;
    absl::StatusOr<bool> outcome = Outcome(job);
    if (outcome.ok() && *outcome) {
      LookAgain(*reader);
    } else {
      EndWait(*reader, std::move(outcome));
    }
  }
}

std::shared_ptr<WaitingReader> AdapterBook::FirstWaiting(const LoadJob& job) const {
  const auto first = std::find_if(waiting_.begin(), waiting_.end(),
                                  [&](const auto& reader) { return Waits(*reader, *job.version); });
  return first == waiting_.end() ? nullptr : *first;
}

bool AdapterBook::SetYielding(std::span<const Version> versions) {
  bool changed = false;
  ForEach([&](const Version& version) {
    const bool yields = std::find(versions.begin(), versions.end(), version) != versions.end();
    changed |= std::exchange(version->yielding, yields) != yields;
  });
  return changed;
}

bool AdapterBook::AnyYields(std::span<const AdapterUse> uses) const {
  return std::any_of(uses.begin(), uses.end(), [&](const AdapterUse& use) {
    const auto entry = entries_.find(use.name);
    return entry != entries_.end() && entry->second.serving != nullptr && entry->second.serving->yielding;
  });
}

}  // namespace guildhall
