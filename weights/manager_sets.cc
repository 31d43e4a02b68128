// What requests hold of the weight manager.
#include <algorithm>
#include <bit>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/kv_wish.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

SetRegistry::Key KeyOf(std::span<const AdapterUse> uses,
                       std::span<const std::shared_ptr<AdapterVersion>> versions) {
  SetRegistry::Key key;
  for (size_t i = 0; i < uses.size(); ++i) {
    key.emplace_back(versions[i]->info.version, std::bit_cast<uint32_t>(uses[i].scale));
  }
  return key;
}

}  // namespace

// Lock-free, whatever the set is the last holder of: the reclaim thread does the rest. A reading that was
// refused its versions leaves it no work, or many of them would bury it.
void WeightManager::Impl::DropReading::operator()(Reading* reading) const {
  if (reading->versions.empty()) {
    delete reading;
  } else {
    queue->Push(reading);
  }
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> WeightManager::Impl::Acquire(
    std::span<const AdapterUse> uses, const WorkLimit& limit) {
  if (uses.empty()) return std::shared_ptr<const AdapterSet>();
  for (;;) {
    ReadingPtr reading(new Reading, DropReading{reclaimer.queue()});
    Lock lock(mutex);
    GH_RETURN_IF_ERROR(CheckFaults(uses));
    GH_RETURN_IF_ERROR(AwaitTurn(lock, uses, limit));
    GH_ASSIGN_OR_RETURN(reading->versions, book.AddReaders(uses, absl::Now()));
    const SetRegistry::Key key = KeyOf(uses, reading->versions);
    // What has an id was asked when it got it.
    if (!book.sets().Knows(key)) GH_RETURN_IF_ERROR(book.CheckTogether(uses));
    GH_ASSIGN_OR_RETURN(const bool resident, AwaitResident(lock, *reading, limit));
    if (!resident) continue;
    GH_RETURN_IF_ERROR(TakeSetInTime(lock, uses, key, *reading, limit));
    const AdapterSet* set = reading->set.get();
    const DropReading drop = reading.get_deleter();
    return std::shared_ptr<const AdapterSet>(set,
                                             [drop, reading = reading.release()](auto*) { drop(reading); });
  }
}

// Before anything is loaded or counted as used for it. Names without a version are somebody else's to refuse.
absl::Status WeightManager::Impl::CheckFaults(std::span<const AdapterUse> uses) const {
  if (!faults.any()) return absl::OkStatus();
  std::vector<uint64_t> versions;
  for (const AdapterUse& use : uses) {
    const auto version = book.Serving(use.name);
    if (!version.ok()) return absl::OkStatus();
    versions.push_back((*version)->info.version);
  }
  return faults.Check(uses, versions);
}

// Until none of them has to make room for a load that came before.
absl::Status WeightManager::Impl::AwaitTurn(Lock& lock, std::span<const AdapterUse> uses,
                                            const WorkLimit& limit) {
  const absl::Status waited = WaitFor(lock, limit, [&] { return !book.AnyYields(uses); });
  if (!absl::IsDeadlineExceeded(waited)) return waited;
  return absl::DeadlineExceededError(
      StrCat("adapter '", uses[0].name, "' makes room for another one that was asked for before; ask again"));
}

// Until all of the versions are in memory in one moment. From then on they are read, and none leaves again.
// False: ask again, as AdapterBook::Outcome says.
absl::StatusOr<bool> WeightManager::Impl::AwaitResident(Lock& lock, const Reading& reading,
                                                        const WorkLimit& limit) {
  const auto waiting = std::make_shared<WaitingReader>(WaitingReader{.versions = reading.versions});
  if (!book.BeginWait(waiting)) return waiting->outcome;
  NotifyChanged();
  const absl::Status waited = WaitFor(lock, limit, [&] { return waiting->done; });
  if (waited.ok()) return waiting->outcome;
  book.EndWait(*waiting, waited);
  NotifyChanged();
  if (!absl::IsDeadlineExceeded(waited)) return waited;
  for (const Version& version : reading.versions) {
    if (version->resident != nullptr || version->job == nullptr) continue;
    const std::string& obstacle = version->job->obstacle;
    if (!obstacle.empty()) return absl::DeadlineExceededError(obstacle);
    return absl::DeadlineExceededError(StrCat("adapter '", version->info.name,
                                              "' did not come from disk in time; it goes on loading, so ask"
                                              " again"));
  }
  return waited;
}

// Gives the reading the set that others hold of this combination, or a new one.
absl::Status WeightManager::Impl::TakeSet(std::span<const AdapterUse> uses, const SetRegistry::Key& key,
                                          Reading& reading) {
  set_missing = 0;
  reading.set = book.sets().Find(key);
  if (reading.set == nullptr) {
    std::vector<AdapterSet::Member> members;
    for (size_t i = 0; i < uses.size(); ++i) {
      const AdapterVersion& version = *reading.versions[i];
      GH_CHECK(version.resident != nullptr);
      members.push_back({uses[i].name,
                         version.info.version,
                         uses[i].scale,
                         {version.resident, &version.resident->weights},
                         version.companion});
    }
    GH_ASSIGN_OR_RETURN(const std::shared_ptr<AdapterSet> set,
                        MakeAdapterSet(std::move(members), spec.gate.experts, backend.memory()));
    book.sets().Add(key, set);
    reading.set = set;
  }
  // Several members together may need more workspace than the widest of them alone.
  if (reading.set->rank_columns <= workspace->reserved().columns) return absl::OkStatus();
  const WorkspaceNeed need = Need();
  absl::Status reserved = workspace->Reserve(need);
  if (reserved.ok()) return reserved;
  const uint64_t wanted = workspace->BytesToReserve(need), free = budget->free();
  set_missing = wanted > free ? wanted - free : 0;
  reading.set = nullptr;  // or what others need would count it
  return reserved;
}

absl::Status WeightManager::Impl::TakeSetInTime(Lock& lock, std::span<const AdapterUse> uses,
                                                const SetRegistry::Key& key, Reading& reading,
                                                const WorkLimit& limit) {
  absl::Status taken = TakeSet(uses, key, reading);
  if (!absl::IsResourceExhausted(taken)) return taken;
  lock.unlock();
  std::unique_lock wishes(kv_wishes, std::defer_lock);
  while (!wishes.try_lock_for(absl::ToChronoMilliseconds(kCancelCheck))) {
    if (absl::IsCancelled(limit.Check())) return limit.Check();
    if (absl::Now() >= limit.deadline) return taken;
  }
  KvWish wish(*budget, options.kv_patience);
  bool looked_again = false;
  for (;;) {
    lock.lock();
    const uint64_t seen = changes;
    taken = TakeSet(uses, key, reading);
    const uint64_t missing = set_missing;
    if (taken.ok()) return taken;
    lock.unlock();
    if (missing == 0 || missing > budget->used(ByteBudget::Holder::kKvCache)) {
      // The KV cache cannot help. Or it has, since TakeSet tried: one more look tells.
      if (std::exchange(looked_again, true)) return taken;
      continue;
    }
    looked_again = false;
    const KvWish::Next next = wish.Ask(missing, absl::Now());
    if (next == KvWish::Next::kGiveUp) return taken;
    if (next == KvWish::Next::kLookAgain) continue;
    lock.lock();
    const absl::Status waited = WaitFor(lock, {std::min(wish.until(), limit.deadline), limit.cancelled},
                                        [&] { return changes != seen; });
    lock.unlock();
    if (absl::IsCancelled(waited)) return waited;
    if (absl::Now() >= limit.deadline) return taken;
  }
}

}  // namespace guildhall
