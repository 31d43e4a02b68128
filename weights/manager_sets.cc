#include <algorithm>
#include <bit>
#include <chrono>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

// Combinations whose ids are remembered though nobody holds them.
constexpr size_t kMaxSets = 4096;
// How long what has left memory may be looked at: who does waits at most for pages being mapped or freed.
constexpr auto kFreePatience = std::chrono::seconds(10);

}  // namespace

absl::StatusOr<std::shared_ptr<const AdapterSet>> WeightManager::Impl::Acquire(
    std::span<const AdapterUse> uses, absl::Time deadline) {
  if (uses.empty()) return std::shared_ptr<const AdapterSet>();
  for (bool again = true; again;) {
    HoldPtr hold(new Hold, DropHold{dropped});
    Lock lock(mutex);
    GH_RETURN_IF_ERROR(Register(uses, *hold));
    GH_RETURN_IF_ERROR(AwaitResident(lock, *hold, deadline, again));
    if (again) continue;
    GH_RETURN_IF_ERROR(Combine(uses, *hold));
    const AdapterSet* set = hold->set.get();
    const DropHold drop = hold.get_deleter();
    return std::shared_ptr<const AdapterSet>(set, [drop, hold = hold.release()](auto*) { drop(hold); });
  }
  return absl::InternalError("unreachable");
}

// Makes `hold` a reader of the versions that serve now, of all or of none.
absl::Status WeightManager::Impl::Register(std::span<const AdapterUse> uses, Hold& hold) {
  for (const AdapterUse& use : uses) {
    const auto entry = entries.find(use.name);
    if (entry == entries.end() || entry->second.current == nullptr) {
      const bool loading = entry != entries.end();
      return absl::NotFoundError(
          StrCat("adapter '", use.name, loading ? "' is still being loaded" : "' is not loaded"));
    }
    if (entry->second.current->info.state == AdapterState::kDraining) {
      return absl::FailedPreconditionError(StrCat("adapter '", use.name, "' is being unloaded"));
    }
  }
  for (const AdapterUse& use : uses) {
    const Version& version = entries.find(use.name)->second.current;
    ++version->info.readers;
    Use(*version);
    hold.versions.push_back(version);
  }
  return absl::OkStatus();
}

// Until all of the hold's versions are in memory. A reader's version is not evicted, so none leaves again.
// `again`: a version was replaced before it came, and the newer one serves; or an unload ended its load and
// then gave up.
absl::Status WeightManager::Impl::AwaitResident(Lock& lock, const Hold& hold, absl::Time deadline,
                                                bool& again) {
  again = false;
  std::vector<Job> awaited;
  for (const Version& version : hold.versions) {
    if (version->resident == nullptr) awaited.push_back(EnsureJob(version));
  }
  for (const Job& job : awaited) {
    const auto finished = [&] { return job->finished; };
    if (deadline == absl::InfiniteFuture()) {
      changed.wait(lock, finished);
    } else if (!changed.wait_until(lock, absl::ToChronoTime(deadline), finished)) {
      return absl::DeadlineExceededError(StrCat("adapter '", job->version->info.name,
                                                "' did not come from disk in time; it goes on loading, so ask"
                                                " again"));
    }
    if (job->version->replaced) {
      again = true;
    } else if (job->cancelled()) {
      again = job->version->info.state == AdapterState::kReady;
      if (again) continue;
      return absl::FailedPreconditionError(
          StrCat("adapter '", job->version->info.name, "' is being unloaded"));
    } else if (!job->status.ok()) {
      return job->Result();
    }
  }
  return absl::OkStatus();
}

absl::Status WeightManager::Impl::Combine(std::span<const AdapterUse> uses, Hold& hold) {
  SetKey key;
  for (size_t i = 0; i < uses.size(); ++i) {
    key.emplace_back(hold.versions[i]->info.version, std::bit_cast<uint32_t>(uses[i].scale));
  }
  const auto known = sets.find(key);
  if (known != sets.end()) hold.set = known->second.set.lock();
  if (hold.set != nullptr) return Widen(*hold.set);

  std::vector<AdapterSet::Member> members;
  for (size_t i = 0; i < uses.size(); ++i) {
    const AdapterVersion& version = *hold.versions[i];
    GH_CHECK(version.resident != nullptr);
    members.push_back(
        {uses[i].name, version.info.version, uses[i].scale, {version.resident, &version.resident->weights}});
  }
  GH_ASSIGN_OR_RETURN(std::shared_ptr<AdapterSet> set,
                      MakeAdapterSet(std::move(members), spec.gate.experts, backend.memory()));
  set->id = known != sets.end() ? known->second.id : next_set;
  hold.set = set;
  SetEntry& entry = sets[std::move(key)];
  if (entry.id == 0) entry.id = next_set++;
  entry.set = set;
  if (sets.size() > kMaxSets) {
    std::erase_if(sets, [](const auto& other) { return other.second.set.expired(); });
  }
  return Widen(*set);
}

// Several members need more columns together than the widest one alone. A set that got no workspace when it
// was made lives until it is reclaimed, and may be asked for again.
absl::Status WeightManager::Impl::Widen(const AdapterSet& set) {
  return set.rank_columns > workspace->reserved().columns ? PublishTables() : absl::OkStatus();
}

void WeightManager::Impl::ForgetSets(uint64_t version) {
  std::erase_if(sets, [&](const auto& entry) {
    return std::any_of(entry.first.begin(), entry.first.end(),
                       [&](auto& use) { return use.first == version; });
  });
}

absl::Status WeightManager::Impl::PublishTables() {
  WorkspaceNeed need;
  bool kv_b = false;
  const auto count = [&](const AdapterVersion& version) {
    if (version.resident == nullptr) return;
    need.columns = std::max(need.columns, version.resident->weights.rank_columns);
    kv_b |= version.resident->kv_b;
  };
  for (const auto& [name, entry] : entries) {
    if (entry.current != nullptr) count(*entry.current);
  }
  for (const Version& version : replaced) count(*version);
  for (const auto& [key, entry] : sets) {
    if (const auto set = entry.set.lock()) need.columns = std::max(need.columns, set->rank_columns);
  }
  need.rows = options.max_rows * std::max<int64_t>({1, spec.gate.k, kv_b ? spec.attention.heads : 0});
  need.slots = slots.max_slots();
  GH_RETURN_IF_ERROR(workspace->Reserve(need));
  GH_ASSIGN_OR_RETURN(auto made, MakeExpertTables(slots.Tables(), backend.memory()));
  {
    std::lock_guard lock(tables_mutex);
    std::swap(tables, made);
  }
  previous_tables = std::move(made);
  return absl::OkStatus();
}

void WeightManager::Impl::Reclaim() {
  for (;;) {
    const std::vector<ReclaimItem*> items = dropped->TakeAll();
    for (ReclaimItem* item : items) {
      if (auto* hold = dynamic_cast<Hold*>(item)) {
        ReclaimHold(hold);
      } else {
        ReclaimResident(static_cast<ResidentAdapter*>(item));
      }
    }
    if (!items.empty()) {
      std::lock_guard lock(mutex);
      reclaimed += items.size();
      std::erase_if(leaving, [](const auto& freed) { return freed->done.load(); });
      changed.notify_all();
      continue;
    }
    {
      std::lock_guard lock(mutex);
      if (settled) return;
    }
    dropped->Wait();
  }
}

void WeightManager::Impl::ReclaimHold(Hold* hold) {
  {
    std::lock_guard lock(mutex);
    for (const Version& version : hold->versions) {
      GH_CHECK_GT(version->info.readers, 0);
      --version->info.readers;
      Use(*version);
    }
    std::erase_if(replaced, [&](const Version& version) {
      if (version->info.readers > 0) return false;
      Leave(*version);
      ForgetSets(version->info.version);
      return true;
    });
  }
  delete hold;  // and with it, perhaps, the last reference to versions in memory, which come here next
}

void WeightManager::Impl::ReclaimResident(ResidentAdapter* resident) {
  {
    std::lock_guard lock(mutex);
    slots.Release(resident->weights);
    // It fails only while a set lives that got no workspace. Then the tables that there are serve on: nobody
    // who is served reads the slots that are empty now.
    (void)PublishTables();
  }
  resident->freed->bytes = memory.Free(resident->runs);
  resident->freed->done = true;
  delete resident;
}

void WeightManager::Impl::Settle() {
  Lock lock(mutex);
  // What was dropped may be the last holder of something, which is dropped in turn.
  for (int round = 0; round < 2; ++round) {
    const uint64_t target = dropped->pushed();
    changed.wait(lock, [&] { return reclaimed >= target; });
  }
}

void WeightManager::Impl::Leave(AdapterVersion& version) {
  if (version.resident == nullptr) return;
  leaving.push_back(version.resident->freed);
  version.resident = nullptr;
}

void WeightManager::Impl::SettleMemory() {
  Settle();
  Lock lock(mutex);
  // Only those are awaited that have left by now, or this might not end.
  const auto gone = [](const auto& freed) { return freed->done.load(); };
  changed.wait_for(lock, kFreePatience,
                   [&, left = leaving] { return std::all_of(left.begin(), left.end(), gone); });
}

}  // namespace guildhall
