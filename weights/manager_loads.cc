// The weight manager's load thread.
#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_name.h"
#include "weights/pack_runner.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

bool ChangesKvB(const AdapterWeights& weights) {
  return std::any_of(weights.layers.begin(), weights.layers.end(),
                     [](const LayerAdapter& layer) { return !layer.k_up.empty(); });
}

// Of the table that gets most of its experts.
int64_t MostSlots(const AdapterWeights& weights) {
  size_t most = 0;
  for (const LayerAdapter& layer : weights.layers) {
    most = std::max({most, layer.experts.size(), size_t{layer.replaces_shared ? 1u : 0u}});
  }
  return static_cast<int64_t>(most);
}

}  // namespace

void WeightManager::Impl::RunLoads() {
  NameThread("adapter-loader");
  for (;;) {
    Job job;
    {
      Lock lock(mutex);
      changed.wait(lock, [&] { return stopping || book.has_queued(); });
      if (stopping) return;
      job = book.StartNext();
    }
    const absl::StatusOr<bool> loaded = RunLoadGuarded(*job);
    absl::Status status = loaded.status();
    if (!status.ok()) reclaimer.AwaitDropped();  // so that who hears of the failure finds nothing left of it
    const std::lock_guard lock(mutex);
    coming = {};
    // What was reserved for it goes back; where there is no memory for a smaller one, the larger one stays.
    if (!status.ok()) (void)workspace->Reserve(Need());
    if (loaded.ok() && !*loaded) {
      ++job->turns;
      book.Postpone(job);
    } else {
      book.Finish(*job, std::move(status));
    }
    NotifyChanged();
  }
}

// What the system refuses ends the load, not the process.
absl::StatusOr<bool> WeightManager::Impl::RunLoadGuarded(LoadJob& job) {
  const auto refused = [&](const char* what) {
    return absl::ResourceExhaustedError(StrCat("adapter '", job.version->info.name,
                                               "': the system has no memory left to load it (", what, ")"));
  };
  try {
    return RunLoad(job);
  } catch (const std::bad_alloc& error) {
    return refused(error.what());
  } catch (const std::system_error& error) {
    return refused(error.what());
  }
}

absl::StatusOr<bool> WeightManager::Impl::RunLoad(LoadJob& job) {
  const absl::Time started = absl::Now();
  GH_ASSIGN_OR_RETURN(const std::unique_ptr<AdapterSource> source, job.version->open());
  const AdapterManifest& manifest = source->manifest();
  GH_ASSIGN_OR_RETURN(AdapterPlan plan, Plan(job, *source));
  const Coming mine{plan.weights.rank_columns, ChangesKvB(plan.weights), MostSlots(plan.weights)};
  GH_ASSIGN_OR_RETURN(const bool placed, MakeRoom(job, plan.runs, mine));
  if (!placed) return false;
  const std::shared_ptr<ResidentAdapter> resident = MakeResident(plan);
  GH_ASSIGN_OR_RETURN(resident->weights.descriptors, DescribeLowRank(resident->weights, backend.memory()));
  GH_RETURN_IF_ERROR(Pack(job, plan, *source));
  GH_RETURN_IF_ERROR(Publish(job, {.resident = resident,
                                   .kind = manifest.kind,
                                   .base_name = manifest.base_name,
                                   .fingerprint = manifest.fingerprint,
                                   .notes = manifest.notes,
                                   .companion = manifest.companion,
                                   .tensor_bytes = plan.tensor_bytes,
                                   .layers = plan.layers,
                                   .experts = plan.experts,
                                   .low_rank_modules = plan.low_rank_modules,
                                   .load_seconds = absl::ToDoubleSeconds(absl::Now() - started),
                                   .changes = ChangesOf(manifest)}));
  return true;
}

absl::StatusOr<AdapterPlan> WeightManager::Impl::Plan(const LoadJob& job, const AdapterSource& source) const {
  const AdapterVersion& version = *job.version;
  const AdapterManifest& manifest = source.manifest();
  if (!job.first && manifest.fingerprint != version.fingerprint) {
    return absl::FailedPreconditionError(
        StrCat("adapter '", version.info.name, "': files changed on disk since version ",
               version.info.version, " was loaded; load it again to serve the new ones"));
  }
  return PlanAdapter(spec, backend, manifest, &source, {.formats = options.formats});
}

// The owner of the places that the plan's runs got: from here on all roads lead through the reclaim thread.
std::shared_ptr<ResidentAdapter> WeightManager::Impl::MakeResident(AdapterPlan& plan) {
  absl::Cleanup free_runs = [&] { memory.Free(plan.runs); };
  const std::shared_ptr<ResidentAdapter> resident(
      new ResidentAdapter, [queue = reclaimer.queue()](ResidentAdapter* last) { queue->Push(last); });
  resident->runs = plan.runs;
  std::move(free_runs).Cancel();
  resident->weights = TakeViews(plan);
  resident->kv_b = ChangesKvB(resident->weights);
  const std::lock_guard lock(mutex);
  slots.Take(resident->weights);
  coming.slots = 0;
  return resident;
}

absl::Status WeightManager::Impl::Pack(LoadJob& job, const AdapterPlan& plan,
                                       const AdapterSource& source) const {
  PackControl control;
  control.threads = options.load_threads;
  control.low_priority = true;
  control.cancelled = [&job] { return job.cancel.load(); };
  control.progress = [&job](uint64_t done, uint64_t total) {
    job.done_bytes = done;
    job.total_bytes = total;
    if (job.request.progress) job.request.progress(done, total);
  };
  std::vector<std::byte*> homes;
  for (const Run& run : plan.runs) homes.push_back(run.begin);
  GH_RETURN_IF_ERROR(PackItems(plan.items, homes, backend.memory(), control));
  return source.CheckUnchanged();
}

absl::Status WeightManager::Impl::Publish(LoadJob& job, LoadedAdapter loaded) {
  const std::lock_guard lock(mutex);
  GH_RETURN_IF_ERROR(book.CheckPublish(job));
  slots.Put(loaded.resident->weights);
  // If there are no tables for it, its slots are emptied again when it is reclaimed.
  GH_RETURN_IF_ERROR(PublishTables());
  book.Publish(job, std::move(loaded), absl::Now());
  return absl::OkStatus();
}

}  // namespace guildhall
