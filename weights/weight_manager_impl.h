// The weight manager's inside. Two locks: `mutex` guards what is known of adapters and is held for moments
// only; `memory` has its own, held while pages are mapped and given back. Order: mutex, memory.
//
// Three threads: callers, the loader (one load at a time; packing fans out), the reclaimer (all that was
// dropped). Holders drop sets without a lock: the reclaimer counts readers down, and frees what nobody holds.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "weights/adapter_plan.h"
#include "weights/adapter_version.h"
#include "weights/slot_table.h"
#include "weights/weight_manager.h"

namespace guildhall {

struct WeightManager::Impl {
  using Version = std::shared_ptr<AdapterVersion>;
  using Job = std::shared_ptr<LoadJob>;
  using Lock = std::unique_lock<std::mutex>;
  // Versions with the bits of their factors.
  using SetKey = std::vector<std::pair<uint64_t, uint32_t>>;

  // One name: the version that serves, and one that is on its way to take its place.
  struct Entry {
    Version current;
    Job loading;
  };

  // A combination keeps its id while all its versions exist, whoever holds it.
  struct SetEntry {
    uint64_t id = 0;
    std::weak_ptr<const AdapterSet> set;
  };

  // What one Acquire() gave out: counts as a reader of its versions from the moment it asks for them.
  struct Hold : ReclaimItem {
    std::vector<Version> versions;
    std::shared_ptr<const AdapterSet> set;
  };
  struct DropHold {
    std::shared_ptr<ReclaimQueue> queue;
    void operator()(Hold* hold) const {
      if (hold->versions.empty()) {
        delete hold;  // a refused request leaves no work, or many of them would bury the reclaimer
      } else {
        queue->Push(hold);
      }
    }
  };
  using HoldPtr = std::unique_ptr<Hold, DropHold>;

  Impl(const ModelSpec& model, Backend& device, const std::vector<BaseExperts>& base,
       const std::shared_ptr<ByteBudget>& shared_budget, std::shared_ptr<StepWorkspace> step_workspace,
       const WeightManagerOptions& manager_options, PageMemory& pages);
  ~Impl();

  // weight_manager.cc: the life of versions.
  absl::Status CheckExpected(const LoadRequest& request, const Entry& entry) const;
  absl::StatusOr<AdapterInfo> Load(const LoadRequest& request);
  absl::StatusOr<UnloadResult> Unload(const std::string& name, std::optional<uint64_t> expected_version,
                                      absl::Duration wait);
  absl::Status Pin(const std::string& name, bool pinned);
  std::vector<AdapterInfo> List();
  AdapterInfo InfoOf(const Version& version) const;  // waits for `memory`: not under the lock
  void Use(AdapterVersion& version);
  void Settle();
  void Leave(AdapterVersion& version);  // under the lock: drops its memory
  void SettleMemory();                  // Settle, and what has left memory is freed

  // manager_sets.cc: what requests hold.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            absl::Time deadline);
  absl::Status Register(std::span<const AdapterUse> uses, Hold& hold);
  absl::Status AwaitResident(Lock& lock, const Hold& hold, absl::Time deadline, bool& again);
  absl::Status Combine(std::span<const AdapterUse> uses, Hold& hold);
  absl::Status Widen(const AdapterSet& set);  // under the lock
  void ForgetSets(uint64_t version);
  absl::Status PublishTables();  // under the lock
  void Reclaim();                // the thread
  void ReclaimHold(Hold* hold);
  void ReclaimResident(ResidentAdapter* resident);

  // manager_loads.cc: how versions come into memory.
  Job EnsureJob(const Version& version);           // under the lock: joins or starts a way back from disk
  void Cancel(Job job);                            // under the lock: ends at once what has not begun
  void Finish(LoadJob& job, absl::Status status);  // under the lock
  void RunLoads();                                 // the thread
  absl::Status RunLoad(LoadJob& job);
  absl::Status MakeRoom(const LoadJob& job, std::vector<Run>& runs);
  absl::Status NoRoom(const LoadJob& job, uint64_t needed) const;
  std::shared_ptr<ResidentAdapter> MakeResident(AdapterPlan& plan);
  absl::Status Publish(LoadJob& job, std::shared_ptr<ResidentAdapter> resident);
  uint64_t EvictableBytes() const;
  bool EvictOne();

  const ModelSpec& spec;
  Backend& backend;
  const std::shared_ptr<ByteBudget> budget;
  const WeightManagerOptions options;
  const std::shared_ptr<StepWorkspace> workspace;
  AdapterMemory memory;
  const std::shared_ptr<ReclaimQueue> dropped = std::make_shared<ReclaimQueue>();

  mutable std::mutex mutex;
  std::condition_variable changed;  // readers, jobs, what was reclaimed
  std::map<std::string, Entry> entries;
  std::vector<Version> replaced;  // by newer ones, and still read
  std::map<SetKey, SetEntry> sets;
  uint64_t next_version = 1, next_set = 1, tick = 0;
  uint64_t reclaimed = 0;  // items of `dropped`
  // Of versions that have left memory, until that is freed: who looks at one may hold it for a moment longer.
  std::vector<std::shared_ptr<const Freed>> leaving;
  SlotTable slots;
  std::deque<Job> jobs;
  std::condition_variable jobs_changed;
  bool stopping = false;  // no more loads
  bool settled = false;   // nothing more will be dropped

  mutable std::mutex tables_mutex;  // held for a copy only: the engine thread takes it
  std::shared_ptr<const ExpertTables> tables;
  std::shared_ptr<const ExpertTables> previous_tables;  // so that the engine thread is not the one that frees

  std::thread reclaimer, loader;
};

}  // namespace guildhall
