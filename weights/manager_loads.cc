#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/pack_runner.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

// How long a load waits for the KV cache to give any memory back, and how often it looks.
constexpr auto kKvPatience = std::chrono::seconds(1);
constexpr auto kKvPoll = std::chrono::milliseconds(2);

std::string MiB(uint64_t bytes) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

absl::Status Cancelled(const LoadJob& job) {
  return absl::CancelledError(StrCat("adapter '", job.version->info.name, "': the load was cancelled"));
}

// Withdraws the wish however a load ends.
class KvWish {
 public:
  explicit KvWish(ByteBudget& budget) : budget_(budget) {}
  ~KvWish() {
    if (asked_ > 0) budget_.WantOfKv(0);
  }
  KvWish(const KvWish&) = delete;
  KvWish& operator=(const KvWish&) = delete;

  // False: for the time of its patience no less was missing. The KV cache gives back a little per step, so
  // what counts is that it does.
  bool Wait(uint64_t missing) {
    const auto now = std::chrono::steady_clock::now();
    if (missing < least_) end_ = now + kKvPatience;
    least_ = std::min(least_, missing);
    if (now >= end_) return false;
    if (missing != asked_) budget_.WantOfKv(missing);
    asked_ = missing;
    std::this_thread::sleep_for(kKvPoll);
    return true;
  }

 private:
  ByteBudget& budget_;
  uint64_t asked_ = 0;
  uint64_t least_ = std::numeric_limits<uint64_t>::max();  // that was missing so far
  std::chrono::steady_clock::time_point end_;
};

}  // namespace

WeightManager::Impl::Job WeightManager::Impl::EnsureJob(const Version& version) {
  if (version->job == nullptr) {
    version->job = std::make_shared<LoadJob>();
    version->job->version = version;
    jobs.push_back(version->job);
    jobs_changed.notify_one();
  }
  return version->job;
}

void WeightManager::Impl::Cancel(Job job) {
  job->cancel = true;
  const auto queued = std::find(jobs.begin(), jobs.end(), job);
  if (queued == jobs.end()) return;
  jobs.erase(queued);
  Finish(*job, Cancelled(*job));
}

void WeightManager::Impl::Finish(LoadJob& job, absl::Status status) {
  job.status = std::move(status);
  job.finished = true;
  job.version->job = nullptr;
  changed.notify_all();
}

void WeightManager::Impl::RunLoads() {
  for (;;) {
    Job job;
    {
      Lock lock(mutex);
      jobs_changed.wait(lock, [&] { return stopping || !jobs.empty(); });
      if (jobs.empty()) return;
      job = std::move(jobs.front());
      jobs.pop_front();
      if (stopping) job->cancel = true;
    }
    absl::Status status = RunLoad(*job);
    if (!status.ok()) Settle();  // so that who hears of the failure finds nothing left of it
    std::lock_guard lock(mutex);
    Finish(*job, std::move(status));
  }
}

absl::Status WeightManager::Impl::RunLoad(LoadJob& job) {
  const absl::Time started = absl::Now();
  if (job.cancel) return Cancelled(job);
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<AdapterSource> source, job.version->open());
  const AdapterManifest& manifest = source->manifest();
  const bool first = job.request != nullptr;
  if (!first && manifest.fingerprint != job.version->fingerprint) {
    return absl::FailedPreconditionError(
        StrCat("adapter '", job.version->info.name, "': files changed on disk since version ",
               job.version->info.version, " was loaded; load it again to serve the new ones"));
  }
  GH_ASSIGN_OR_RETURN(
      AdapterPlan plan,
      PlanAdapter(spec, backend, manifest, source.get(),
                  {options.formats, options.padded ? options.padded_experts : 0}));
  GH_RETURN_IF_ERROR(MakeRoom(job, plan.runs));
  const std::shared_ptr<ResidentAdapter> resident = MakeResident(plan);
  GH_ASSIGN_OR_RETURN(resident->weights.descriptors, DescribeLowRank(resident->weights, backend.memory()));

  PackControl control;
  control.threads = options.load_threads;
  control.low_priority = true;
  control.cancelled = [&job] { return job.cancel.load(); };
  control.progress = [&job](uint64_t done, uint64_t total) {
    job.done_bytes = done;
    job.total_bytes = total;
    if (job.request != nullptr && job.request->progress) job.request->progress(done, total);
  };
  std::vector<std::byte*> homes;
  for (const Run& run : plan.runs) homes.push_back(run.begin);
  GH_RETURN_IF_ERROR(PackItems(plan.items, homes, backend.memory(), control));
  GH_RETURN_IF_ERROR(source->CheckUnchanged());
  {
    std::lock_guard lock(mutex);
    AdapterInfo& info = job.version->info;
    info.kind = manifest.kind;
    info.base_name = manifest.base_name;
    info.notes = manifest.notes;
    info.tensor_bytes = plan.tensor_bytes;
    info.layers = plan.layers;
    info.experts = plan.experts;
    info.low_rank_modules = plan.low_rank_modules;
    job.version->fingerprint = manifest.fingerprint;
    info.load_seconds = absl::ToDoubleSeconds(absl::Now() - started);
    info.loaded_at = absl::Now();
  }
  return Publish(job, resident);
}

// Owner of the places that the plan's runs got: from here on all roads lead through the reclaimer.
std::shared_ptr<ResidentAdapter> WeightManager::Impl::MakeResident(AdapterPlan& plan) {
  const std::shared_ptr<ResidentAdapter> resident(
      new ResidentAdapter, [queue = dropped](ResidentAdapter* last) { queue->Push(last); });
  resident->runs = plan.runs;
  resident->weights = TakeViews(plan);
  resident->kv_b = std::any_of(resident->weights.layers.begin(), resident->weights.layers.end(),
                               [](const LayerAdapter& layer) { return !layer.k_up.empty(); });
  std::lock_guard lock(mutex);
  slots.Take(resident->weights);
  return resident;
}

// Gives the runs their places; evicts and asks the KV cache where that helps, and changes nothing where it
// cannot help.
absl::Status WeightManager::Impl::MakeRoom(const LoadJob& job, std::vector<Run>& runs) {
  KvWish wish(*budget);
  for (;;) {
    if (job.cancel) return Cancelled(job);
    SettleMemory();  // or what is on its way out would be neither free nor evictable
    const uint64_t needed = memory.BytesToAllocate(runs);
    if (needed <= budget->free()) {
      const absl::Status allocated = memory.Allocate(runs);
      // Either the system refused, or the KV cache was faster.
      if (allocated.ok() || needed <= budget->free()) return allocated;
      continue;
    }
    const uint64_t evictable = EvictableBytes();
    const uint64_t free = budget->free();
    if (needed <= free + evictable) {
      EvictOne();
      continue;
    }
    const uint64_t missing = needed - free - evictable;
    if (missing > budget->used(ByteBudget::Holder::kKvCache) || !wish.Wait(missing))
      return NoRoom(job, needed);
  }
}

uint64_t WeightManager::Impl::EvictableBytes() const {
  std::vector<std::shared_ptr<const ResidentAdapter>> held;
  {
    std::lock_guard lock(mutex);
    for (const auto& [name, entry] : entries) {
      if (entry.current != nullptr && entry.current->evictable()) held.push_back(entry.current->resident);
    }
  }
  std::vector<std::span<const Run>> groups;
  for (const auto& resident : held) groups.emplace_back(resident->runs);
  return memory.BytesToFree(groups);
}

bool WeightManager::Impl::EvictOne() {
  std::lock_guard lock(mutex);
  AdapterVersion* oldest = nullptr;
  for (const auto& [name, entry] : entries) {
    if (entry.current == nullptr || !entry.current->evictable()) continue;
    if (oldest == nullptr || entry.current->last_tick < oldest->last_tick) oldest = entry.current.get();
  }
  if (oldest == nullptr) return false;
  Leave(*oldest);
  return true;
}

absl::Status WeightManager::Impl::NoRoom(const LoadJob& job, uint64_t needed) const {
  const uint64_t free = budget->free(), evictable = EvictableBytes();
  std::vector<std::shared_ptr<const ResidentAdapter>> pinned, read;
  {
    std::lock_guard lock(mutex);
    for (const auto& [name, entry] : entries) {
      if (entry.current == nullptr || entry.current->resident == nullptr) continue;
      const AdapterInfo& info = entry.current->info;
      if (!info.pinned && info.readers == 0) continue;
      (info.pinned ? pinned : read).push_back(entry.current->resident);
    }
    for (const Version& version : replaced) {
      if (version->resident != nullptr) read.push_back(version->resident);
    }
  }
  const auto bytes_of = [&](const auto& adapters) {
    uint64_t bytes = 0;
    for (const auto& resident : adapters) bytes += memory.MappedShare(resident->runs);
    return MiB(bytes);
  };
  return absl::FailedPreconditionError(
      StrCat("adapter '", job.version->info.name, "' does not fit: it needs ", MiB(needed), " in pages of ",
             MiB(memory.page_bytes()), "; of the budget of ", MiB(budget->total()), ", ", MiB(free),
             " are free, ", MiB(evictable), " evictable, ", bytes_of(pinned), " pinned, ", bytes_of(read),
             " held by requests and ", MiB(budget->used(ByteBudget::Holder::kKvCache)),
             " taken by the KV cache: unload or unpin adapters, or raise the budget"));
}

absl::Status WeightManager::Impl::Publish(LoadJob& job, std::shared_ptr<ResidentAdapter> resident) {
  std::lock_guard lock(mutex);
  AdapterVersion& version = *job.version;
  if (job.cancel) return Cancelled(job);
  Entry& entry = entries[version.info.name];
  if (job.request != nullptr) GH_RETURN_IF_ERROR(CheckExpected(*job.request, entry));
  slots.Put(resident->weights);
  version.resident = std::move(resident);
  const Version before = job.request != nullptr ? std::exchange(entry.current, job.version) : nullptr;
  const absl::Status published = PublishTables();
  if (!published.ok()) {
    if (job.request != nullptr) entry.current = before;
    Leave(version);
    return published;
  }
  version.info.state = AdapterState::kReady;
  version.info.pinned |= job.pin || (before != nullptr && before->info.pinned);
  Use(version);
  if (before == nullptr) return absl::OkStatus();
  before->replaced = true;
  before->info.state = AdapterState::kDraining;
  if (before->job != nullptr) Cancel(before->job);
  if (before->info.readers > 0) {
    replaced.push_back(before);
  } else {
    ForgetSets(before->info.version);
    Leave(*before);
  }
  return absl::OkStatus();
}

}  // namespace guildhall
