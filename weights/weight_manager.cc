#include "weights/weight_manager.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

// How often a caller's wish to cancel is asked for.
constexpr absl::Duration kCancelPoll = absl::Milliseconds(5);

std::string Named(const AdapterInfo& info) {
  return StrCat("adapter '", info.name, "' (version ", info.version, ")");
}

absl::Status NotLoaded(const std::string& name) {
  return absl::NotFoundError(StrCat("adapter '", name, "' is not loaded"));
}

}  // namespace

WeightManager::Impl::Impl(const ModelSpec& model, Backend& device, const std::vector<BaseExperts>& base,
                          const std::shared_ptr<ByteBudget>& shared_budget,
                          std::shared_ptr<StepWorkspace> step_workspace,
                          const WeightManagerOptions& manager_options, PageMemory& pages)
    : spec(model),
      backend(device),
      budget(shared_budget),
      options(manager_options),
      workspace(std::move(step_workspace)),
      memory(pages, shared_budget, AdapterRanges(model)),
      slots(base) {
  GH_CHECK_EQ(base.size(), model.layers.size());
  if (workspace->reserved().slots < slots.max_slots()) {
    const absl::Status reserved = workspace->Reserve({.slots = slots.max_slots(), .rows = 0, .columns = 0});
    GH_CHECK(reserved.ok());
  }
  workspace->ChargeTo(shared_budget);
  const absl::Status published = PublishTables();  // some kilobytes
  GH_CHECK(published.ok());
  reclaimer = std::thread([this] { Reclaim(); });
  loader = std::thread([this] { RunLoads(); });
}

WeightManager::Impl::~Impl() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
    for (const auto& [name, entry] : entries) {
      if (entry.current != nullptr && entry.current->job != nullptr) entry.current->job->cancel = true;
    }
    jobs_changed.notify_all();
  }
  loader.join();
  Settle();
  {
    std::lock_guard lock(mutex);
    GH_CHECK(replaced.empty());
    for (const auto& [name, entry] : entries) {
      GH_CHECK(entry.loading == nullptr);
      GH_CHECK_EQ(entry.current->info.readers, 0);
    }
    entries.clear();
  }
  Settle();
  {
    std::lock_guard lock(mutex);
    settled = true;
  }
  dropped->Wake();
  reclaimer.join();
}

void WeightManager::Impl::Use(AdapterVersion& version) {
  version.last_tick = ++tick;
  version.info.last_used = absl::Now();
}

absl::Status WeightManager::Impl::CheckExpected(const LoadRequest& request, const Entry& entry) const {
  const uint64_t found = entry.current != nullptr ? entry.current->info.version : 0;
  const uint64_t expected = request.expected_version.value_or(0);
  if (found != 0 && entry.current->info.state == AdapterState::kDraining) {
    return absl::AbortedError(StrCat(Named(entry.current->info), " is being unloaded; try again"));
  }
  if (request.replace || found == expected) return absl::OkStatus();
  if (expected == 0) {
    return absl::AlreadyExistsError(StrCat(Named(entry.current->info),
                                           " is loaded under this name; to replace it,"
                                           " say which version is expected"));
  }
  return absl::AbortedError(StrCat("adapter '", request.name, "': version ", expected,
                                   " was expected, found ", found == 0 ? "none" : StrCat("version ", found),
                                   "; list the adapters and decide anew"));
}

absl::StatusOr<AdapterInfo> WeightManager::Impl::Load(const LoadRequest& request) {
  GH_CHECK(request.open != nullptr);
  if (request.name.empty()) return absl::InvalidArgumentError("an adapter needs a name");
  const auto job = std::make_shared<LoadJob>();
  const auto version = std::make_shared<AdapterVersion>();
  Lock lock(mutex);
  if (const auto entry = entries.find(request.name); entry != entries.end()) {
    if (entry->second.loading != nullptr) {
      return absl::AbortedError(
          StrCat("adapter '", request.name, "' is being loaded by another call; wait for it"));
    }
    GH_RETURN_IF_ERROR(CheckExpected(request, entry->second));
  } else {
    GH_RETURN_IF_ERROR(CheckExpected(request, {}));
  }
  version->info.name = request.name;
  version->info.version = next_version++;
  version->info.source = request.source;
  version->info.pinned = request.pin;
  version->open = request.open;
  version->job = job;
  job->version = version;
  job->request = &request;
  entries[request.name].loading = job;
  jobs.push_back(job);
  jobs_changed.notify_one();
  while (!job->finished) {
    if (!request.cancelled) {
      changed.wait(lock);
      continue;
    }
    changed.wait_until(lock, absl::ToChronoTime(absl::Now() + kCancelPoll));
    lock.unlock();
    const bool cancelled = request.cancelled();
    lock.lock();
    if (cancelled) Cancel(job);
  }
  Entry& entry = entries.at(request.name);
  entry.loading = nullptr;
  if (entry.current == nullptr) entries.erase(request.name);
  if (!job->status.ok()) return job->Result();
  lock.unlock();
  return InfoOf(version);
}

absl::StatusOr<UnloadResult> WeightManager::Impl::Unload(const std::string& name,
                                                         std::optional<uint64_t> expected_version,
                                                         absl::Duration wait) {
  const absl::Time end = absl::Now() + wait;
  Settle();
  Lock lock(mutex);
  const auto found = entries.find(name);
  if (found == entries.end()) return NotLoaded(name);
  const Version version = found->second.current;
  if (version == nullptr) {
    return absl::FailedPreconditionError(StrCat("adapter '", name, "' is still being loaded: cancel that"));
  }
  AdapterInfo& info = version->info;
  if (info.state == AdapterState::kDraining)
    return absl::AbortedError(StrCat(Named(info), " is being unloaded already"));
  if (expected_version.has_value() && *expected_version != info.version) {
    return absl::AbortedError(StrCat("adapter '", name, "': version ", *expected_version,
                                     " was expected, found version ", info.version));
  }
  info.state = AdapterState::kDraining;
  if (version->job != nullptr) Cancel(version->job);
  const auto unread = [&] { return info.readers == 0 && version->job == nullptr; };
  if (!changed.wait_until(lock, absl::ToChronoTime(end), unread)) {
    info.state = AdapterState::kReady;
    if (info.readers == 0) {
      return absl::FailedPreconditionError(StrCat(Named(info), ": its load from disk is still ending after ",
                                                  absl::FormatDuration(wait),
                                                  ": it stays loaded; wait longer"));
    }
    return absl::FailedPreconditionError(
        StrCat(Named(info), " is still read by ", info.readers, info.readers == 1 ? " request" : " requests",
               " after ", absl::FormatDuration(wait), ": it stays loaded; wait longer, or cancel them"));
  }
  std::shared_ptr<const Freed> freed;
  if (version->resident != nullptr) freed = version->resident->freed;
  Leave(*version);
  ForgetSets(info.version);
  Entry& entry = entries.at(name);
  entry.current = nullptr;
  if (entry.loading == nullptr) entries.erase(name);
  lock.unlock();
  SettleMemory();
  return UnloadResult{info.version, freed != nullptr ? freed->bytes.load() : 0};
}

absl::Status WeightManager::Impl::Pin(const std::string& name, bool pinned) {
  Lock lock(mutex);
  for (;;) {
    const auto found = entries.find(name);
    if (found == entries.end() || found->second.current == nullptr) return NotLoaded(name);
    const Version version = found->second.current;
    if (version->info.state == AdapterState::kDraining) {
      return absl::FailedPreconditionError(StrCat(Named(version->info), " is being unloaded"));
    }
    if (!pinned || version->resident != nullptr) {
      version->info.pinned = pinned;
      return absl::OkStatus();
    }
    const Job job = EnsureJob(version);
    job->pin = true;
    changed.wait(lock, [&] { return job->finished; });
    // An unload or a newer version ended it: what is there now?
    if (!job->cancelled()) return job->Result();
  }
}

AdapterInfo WeightManager::Impl::InfoOf(const Version& version) const {
  AdapterInfo info;
  std::shared_ptr<const ResidentAdapter> resident;
  {
    std::lock_guard lock(mutex);
    info = version->info;
    resident = version->resident;
    if (const Job& job = version->job; job != nullptr && job->total_bytes > 0) {
      info.progress = static_cast<double>(job->done_bytes) / static_cast<double>(job->total_bytes);
    }
  }
  if (resident == nullptr) return info;
  info.tier = AdapterTier::kResident;
  info.mapped_bytes = memory.MappedShare(resident->runs);
  return info;
}

std::vector<AdapterInfo> WeightManager::Impl::List() {
  Settle();
  std::vector<Version> versions;
  {
    std::lock_guard lock(mutex);
    versions = replaced;
    for (const auto& [name, entry] : entries) {
      if (entry.current != nullptr) versions.push_back(entry.current);
      if (entry.loading != nullptr && !entry.loading->finished) versions.push_back(entry.loading->version);
    }
  }
  std::vector<AdapterInfo> infos;
  for (const Version& version : versions) infos.push_back(InfoOf(version));
  std::sort(infos.begin(), infos.end(), [](const AdapterInfo& a, const AdapterInfo& b) {
    return std::tie(a.name, a.version) < std::tie(b.name, b.version);
  });
  return infos;
}

WeightManager::WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                             std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                             const WeightManagerOptions& options)
    : WeightManager(spec, backend, base, std::move(budget), std::move(workspace), options,
                    backend.memory().pages()) {}

WeightManager::WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                             std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                             const WeightManagerOptions& options, PageMemory& memory)
    : impl_(std::make_unique<Impl>(spec, backend, base, budget, std::move(workspace), options, memory)) {}

WeightManager::~WeightManager() = default;

absl::StatusOr<AdapterInfo> WeightManager::Load(const LoadRequest& request) {
  return impl_->Load(request);
}

absl::StatusOr<UnloadResult> WeightManager::Unload(const std::string& name,
                                                   std::optional<uint64_t> expected_version,
                                                   absl::Duration wait) {
  return impl_->Unload(name, expected_version, wait);
}

absl::Status WeightManager::Pin(const std::string& name, bool pinned) {
  return impl_->Pin(name, pinned);
}

std::vector<AdapterInfo> WeightManager::List() const {
  return impl_->List();
}

absl::StatusOr<AdapterInfo> WeightManager::Info(const std::string& name) const {
  impl_->Settle();
  Impl::Version version;
  {
    std::lock_guard lock(impl_->mutex);
    const auto found = impl_->entries.find(name);
    if (found == impl_->entries.end()) return NotLoaded(name);
    version = found->second.current != nullptr ? found->second.current : found->second.loading->version;
  }
  return impl_->InfoOf(version);
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> WeightManager::Acquire(std::span<const AdapterUse> uses,
                                                                         absl::Time deadline) {
  return impl_->Acquire(uses, deadline);
}

std::shared_ptr<const ExpertTables> WeightManager::Tables() const {
  std::lock_guard lock(impl_->tables_mutex);
  return impl_->tables;
}

ByteBudget& WeightManager::budget() {
  return *impl_->budget;
}

uint64_t WeightManager::mapped_bytes() const {
  return impl_->memory.mapped_bytes();
}

void WeightManager::Settle() {
  impl_->Settle();
}

}  // namespace guildhall
