// What administrators ask of the weight manager.
#include <stop_token>
#include <utility>

#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {

absl::StatusOr<AdapterInfo> WeightManager::Impl::Load(const LoadRequest& request) {
  GH_CHECK(request.open != nullptr);
  if (request.name.empty()) return absl::InvalidArgumentError("an adapter needs a name");
  Job job;
  {
    const std::lock_guard lock(mutex);
    GH_ASSIGN_OR_RETURN(job, book.AddLoad(request));
  }
  const std::stop_callback on_cancel(request.cancel, [&] {
    const std::lock_guard lock(mutex);
    book.Cancel(job);
    NotifyChanged();
  });
  {
    Lock lock(mutex);
    NotifyChanged();  // the loader, once the load can be cancelled
    changed.wait(lock, [&] { return job->done(); });
    if (!job->status.ok()) return job->Result();
  }
  return InfoOf(job->version);
}

absl::StatusOr<UnloadResult> WeightManager::Impl::Unload(const std::string& name,
                                                         std::optional<uint64_t> expected_version,
                                                         absl::Duration wait) {
  const absl::Time end = absl::Now() + wait;
  AwaitFreed();
  Lock lock(mutex);
  GH_ASSIGN_OR_RETURN(const Version version, book.BeginUnload(name, expected_version));
  NotifyChanged();
  if (!WaitUntil(lock, end, [&] { return AdapterBook::Unused(*version); })) {
    return book.GiveUpUnload(*version, wait);
  }
  std::shared_ptr<const Freed> freed;
  if (version->resident != nullptr) freed = version->resident->freed;
  book.EndUnload(version);
  lock.unlock();
  AwaitFreed();
  lock.lock();
  return UnloadResult{version->info.version, freed != nullptr ? freed->bytes : 0};
}

absl::Status WeightManager::Impl::Pin(const std::string& name, bool pinned) {
  Lock lock(mutex);
  for (;;) {
    GH_ASSIGN_OR_RETURN(const Version version, book.Serving(name));
    if (version->info.state == AdapterState::kDraining) {
      return absl::FailedPreconditionError(
          StrCat("adapter '", name, "' (version ", version->info.version, ") is being unloaded"));
    }
    if (!pinned || version->resident != nullptr) {
      version->info.pinned = pinned;
      NotifyChanged();
      return absl::OkStatus();
    }
    const Job job = book.AddReturn(version);
    job->pin = true;
    NotifyChanged();
    changed.wait(lock, [&] { return job->done(); });
    // An unload or a newer version ended it: what is there now?
    if (!job->cancelled()) return job->Result();
  }
}

// Asks for the shares of pages, and waits for those who map and free some: not under the lock.
AdapterInfo WeightManager::Impl::InfoOf(const Version& version) const {
  AdapterInfo info;
  std::shared_ptr<const ResidentAdapter> resident;
  {
    const std::lock_guard lock(mutex);
    info = version->info;
    resident = version->resident;
    if (const Job& job = version->job; job != nullptr && job->total_bytes > 0) {
      info.progress = static_cast<double>(job->done_bytes) / static_cast<double>(job->total_bytes);
    }
  }
  faults.Tell(info);
  if (resident != nullptr) info.mapped_bytes = memory.MappedShare(resident->runs);
  return info;
}

std::vector<AdapterInfo> WeightManager::Impl::List() {
  AwaitFreed();
  std::vector<Version> versions;
  {
    const std::lock_guard lock(mutex);
    versions = book.Versions();
  }
  std::vector<AdapterInfo> infos;
  for (const Version& version : versions) infos.push_back(InfoOf(version));
  return infos;
}

absl::StatusOr<AdapterInfo> WeightManager::Impl::Info(const std::string& name) {
  AwaitFreed();
  Version version;
  {
    const std::lock_guard lock(mutex);
    GH_ASSIGN_OR_RETURN(version, book.ServingOrLoading(name));
  }
  return InfoOf(version);
}

}  // namespace guildhall
