// The weight manager's inside: one lock around the book, and two threads.
//
// Callers ask the book and wait for `changed`. The load thread runs one load at a time (packing has threads
// of its own). The reclaim thread gets what the last holder dropped, who needs no lock for that: it counts
// readers down, and frees slots and pages.
//
// `mutex` is held for moments only. AdapterMemory has a lock of its own, which is held while pages are mapped
// and given back: it is not asked under `mutex`.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "weights/adapter_book.h"
#include "weights/adapter_plan.h"
#include "weights/reclaim_thread.h"
#include "weights/room.h"
#include "weights/slot_table.h"
#include "weights/weight_manager.h"

namespace guildhall {

// How often a request that waits looks whether anybody still wants it.
inline constexpr absl::Duration kCancelCheck = absl::Milliseconds(20);

struct WeightManager::Impl {
  using Version = AdapterBook::Version;
  using Job = AdapterBook::Job;
  using Lock = std::unique_lock<std::mutex>;

  // What one Acquire() gave out: counts as a reader of its versions from the moment it asks for them.
  struct Reading : ReclaimItem {
    std::vector<Version> versions;
    std::shared_ptr<const AdapterSet> set;
  };
  struct DropReading {
    std::shared_ptr<ReclaimQueue> queue;
    void operator()(Reading* reading) const;
  };
  using ReadingPtr = std::unique_ptr<Reading, DropReading>;

  // What the adapter that is being loaded will want of the workspace.
  struct Coming {
    int64_t rank_columns = 0;
    bool kv_b = false;
    int64_t slots = 0;  // of one table, until it has them
  };

  Impl(const ModelSpec& model, Backend& device, const std::vector<BaseExperts>& base,
       const std::shared_ptr<ByteBudget>& shared_budget, std::shared_ptr<StepWorkspace> step_workspace,
       const WeightManagerOptions& manager_options, PageMemory& pages);
  ~Impl();

  // manager_changes.cc: what administrators ask.
  absl::StatusOr<AdapterInfo> Load(const LoadRequest& request);
  absl::StatusOr<UnloadResult> Unload(const std::string& name, std::optional<uint64_t> expected_version,
                                      absl::Duration wait);
  absl::Status Pin(const std::string& name, bool pinned);
  std::vector<AdapterInfo> List();
  absl::StatusOr<AdapterInfo> Info(const std::string& name);
  AdapterInfo InfoOf(const Version& version) const;

  // manager_sets.cc: what requests hold.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            const WorkLimit& limit);
  absl::Status CheckFaults(std::span<const AdapterUse> uses) const;  // under the lock
  absl::Status AwaitTurn(Lock& lock, std::span<const AdapterUse> uses, const WorkLimit& limit);
  absl::StatusOr<bool> AwaitResident(Lock& lock, const Reading& reading, const WorkLimit& limit);
  absl::Status TakeSet(std::span<const AdapterUse> uses, const SetRegistry::Key& key, Reading& reading);
  // With room that the KV cache gives back where the budget has none.
  absl::Status TakeSetInTime(Lock& lock, std::span<const AdapterUse> uses, const SetRegistry::Key& key,
                             Reading& reading, const WorkLimit& limit);

  // manager_loads.cc: the load thread.
  void RunLoads();
  absl::StatusOr<bool> RunLoadGuarded(LoadJob& job);
  absl::StatusOr<bool> RunLoad(LoadJob& job);  // false: there was no room in its turn
  absl::StatusOr<AdapterPlan> Plan(const LoadJob& job, const AdapterSource& source) const;
  std::shared_ptr<ResidentAdapter> MakeResident(AdapterPlan& plan);
  absl::Status Pack(LoadJob& job, const AdapterPlan& plan, const AdapterSource& source) const;
  absl::Status Publish(LoadJob& job, LoadedAdapter loaded);

  // manager_room.cc: room for a load, on its thread.
  absl::StatusOr<bool> MakeRoom(LoadJob& job, std::vector<Run>& runs, const Coming& mine);
  absl::Status CheckCancelled(const LoadJob& job) const;
  std::vector<Version> KeptFor(const LoadJob& job) const;
  absl::Status TellObstacle(LoadJob& job, const Room& room);
  void AwaitChange(const LoadJob& job, uint64_t seen, absl::Time end);
  std::vector<Version> ToYield(const Room& room, std::span<const Version> kept) const;
  void SetYielding(std::span<const Version> versions);
  absl::Status Place(std::vector<Run>& runs);
  Room LookForRoom(std::span<const Run> runs, std::span<const Version> kept) const;
  uint64_t SharesOf(std::span<const std::shared_ptr<const ResidentAdapter>> adapters) const;
  RoomRefusal Refusal(const LoadJob& job, const Room& room) const;
  absl::Status Refuse(const LoadJob& job, const Room& room, std::span<const Version> kept);

  // manager_reclaim.cc: the reclaim thread, and who waits for it.
  void Reclaim(ReclaimItem* item);
  void ReclaimReading(std::unique_ptr<Reading> reading);
  void ReclaimResident(std::unique_ptr<ResidentAdapter> resident);
  void AwaitFreed();

  // weight_manager.cc
  // Under the lock. Of all adapters and sets that there are, and of the one that comes.
  WorkspaceNeed Need() const;
  // Under the lock: makes a snapshot of the slots what steps read from now on, and the workspace as large as
  // Need(). RESOURCE_EXHAUSTED: the snapshot that there is stays.
  absl::Status PublishTables();
  void NotifyChanged();  // under the lock
  // Until `condition` or `end`; returns the condition.
  template <typename Condition>
  bool WaitUntil(Lock& lock, absl::Time end, Condition condition);
  // Until `condition`, at most as long as `limit` says: DEADLINE_EXCEEDED, CANCELLED.
  template <typename Condition>
  absl::Status WaitFor(Lock& lock, const WorkLimit& limit, Condition condition);

  const ModelSpec& spec;
  Backend& backend;
  const std::shared_ptr<ByteBudget> budget;
  const WeightManagerOptions options;
  AdapterFaults faults;
  const std::shared_ptr<StepWorkspace> workspace;
  AdapterMemory memory;

  mutable std::mutex mutex;
  std::condition_variable changed;  // the book, `stopping`, or memory that the KV cache gave back
  uint64_t changes = 0;
  AdapterBook book;
  SlotTable slots;
  bool stopping = false;  // no more loads
  Coming coming;
  uint64_t set_missing = 0;  // bytes that the budget lacked for the set that was refused last

  std::timed_mutex kv_wishes;  // taken before `mutex`: the budget has one wish at a time

  mutable std::mutex tables_mutex;  // held for a copy only: the engine thread takes it
  std::shared_ptr<const ExpertTables> tables;
  std::shared_ptr<const ExpertTables> previous_tables;  // so that the engine thread is not the one that frees

  ReclaimThread reclaimer;
  std::thread loader;
};

template <typename Condition>
bool WeightManager::Impl::WaitUntil(Lock& lock, absl::Time end, Condition condition) {
  if (end != absl::InfiniteFuture()) return changed.wait_until(lock, absl::ToChronoTime(end), condition);
  changed.wait(lock, condition);
  return true;
}

template <typename Condition>
absl::Status WeightManager::Impl::WaitFor(Lock& lock, const WorkLimit& limit, Condition condition) {
  while (!condition()) {
    lock.unlock();
    const absl::Status over = limit.Check();
    lock.lock();
    if (!over.ok()) return over;
    const absl::Time next = limit.cancelled ? absl::Now() + kCancelCheck : absl::InfiniteFuture();
    WaitUntil(lock, std::min(limit.deadline, next), condition);
  }
  return absl::OkStatus();
}

}  // namespace guildhall
