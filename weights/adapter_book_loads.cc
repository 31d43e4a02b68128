// The part of the book about loads.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/adapter_book.h"

namespace guildhall {
namespace {

absl::Status Cancelled(const LoadJob& job) {
  return absl::CancelledError(StrCat("adapter '", job.version->info.name, "': the load was cancelled"));
}

}  // namespace

// Compare and swap: what is there is what the request expects.
absl::Status AdapterBook::CheckExpected(const LoadRequest& request) const {
  const auto entry = entries_.find(request.name);
  const Version serving = entry == entries_.end() ? nullptr : entry->second.serving;
  const uint64_t found = serving != nullptr ? serving->info.version : 0;
  const uint64_t expected = request.expected_version.value_or(0);
  const std::string named = StrCat("adapter '", request.name, "' (version ", found, ")");
  if (found != 0 && serving->info.state == AdapterState::kDraining) {
    return absl::AbortedError(named + " is being unloaded; try again");
  }
  if (request.replace || found == expected) return absl::OkStatus();
  if (expected == 0) {
    return absl::AlreadyExistsError(
        named + " is loaded under this name; to replace it, say which version is expected");
  }
  return absl::AbortedError(StrCat(
      "adapter '", request.name, "': version ", expected, " was expected, found ",
      found == 0 ? std::string("none") : StrCat("version ", found), "; list the adapters and decide anew"));
}

absl::StatusOr<AdapterBook::Job> AdapterBook::AddLoad(const LoadRequest& request) {
  const auto entry = entries_.find(request.name);
  if (entry != entries_.end() && entry->second.loading != nullptr) {
    return absl::AbortedError(
        StrCat("adapter '", request.name, "' is being loaded by another call; wait for it"));
  }
  GH_RETURN_IF_ERROR(CheckExpected(request));
  const auto version = std::make_shared<AdapterVersion>();
  version->info.name = request.name;
  version->info.version = next_version_++;
  version->info.source = request.source;
  version->info.pinned = request.pin;
  version->open = request.open;
  version->job = std::make_shared<LoadJob>(version, true);
  version->job->request = request;
  entries_[request.name].loading = version->job;
  queue_.push_back(version->job);
  return version->job;
}

AdapterBook::Job AdapterBook::AddReturn(const Version& version) {
  GH_CHECK(version->resident == nullptr);
  if (version->job == nullptr) {
    version->job = std::make_shared<LoadJob>(version, false);
    queue_.push_back(version->job);
  }
  return version->job;
}

AdapterBook::Job AdapterBook::StartNext() {
  GH_CHECK(!queue_.empty());
  Job job = std::move(queue_.front());
  queue_.pop_front();
  job->state = LoadJob::State::kRunning;
  return job;
}

void AdapterBook::Postpone(const Job& job) {
  GH_CHECK(job->state == LoadJob::State::kRunning);
  if (job->cancel) return End(job, Cancelled(*job));
  job->state = LoadJob::State::kQueued;
  queue_.push_back(job);
}

void AdapterBook::Cancel(const Job& job) {
  if (job->done()) return;
  job->cancel = true;
  const auto queued = std::find(queue_.begin(), queue_.end(), job);
  if (queued == queue_.end()) return;
  const Job ended = *queued;
  queue_.erase(queued);
  End(ended, Cancelled(*ended));
}

void AdapterBook::CancelAll() {
  for (const Version& version : Versions()) {
    if (version->job != nullptr) Cancel(version->job);
  }
}

absl::Status AdapterBook::CheckPublish(const LoadJob& job) const {
  if (job.cancel) return Cancelled(job);
  return job.first ? CheckExpected(job.request) : absl::OkStatus();
}

void AdapterBook::Publish(LoadJob& job, LoadedAdapter loaded, absl::Time now) {
  GH_CHECK(job.state == LoadJob::State::kRunning && !job.cancel);
  auto changes = std::make_shared<const AdapterChanges>(std::move(loaded.changes));
  AdapterVersion& version = *job.version;
  AdapterInfo& info = version.info;
  info.kind = std::move(loaded.kind);
  info.base_name = std::move(loaded.base_name);
  info.notes = std::move(loaded.notes);
  info.tensor_bytes = loaded.tensor_bytes;
  info.layers = loaded.layers;
  info.experts = loaded.experts;
  info.low_rank_modules = loaded.low_rank_modules;
  info.load_seconds = loaded.load_seconds;
  info.loaded_at = now;
  info.state = AdapterState::kReady;
  info.tier = AdapterTier::kResident;
  version.resident = std::move(loaded.resident);
  info.pinned |= job.pin;
  MarkUsed(version, now);
  if (!job.first) return;
  version.fingerprint = std::move(loaded.fingerprint);
  version.changes = std::move(changes);
  version.companion = std::move(loaded.companion);
  Entry& entry = entries_.at(info.name);
  entry.loading = nullptr;
  const Version before = std::exchange(entry.serving, job.version);
  if (before == nullptr) return;
  info.pinned |= before->info.pinned;
  Replace(before);
}

void AdapterBook::Replace(const Version& before) {
  before->replaced = true;
  before->info.state = AdapterState::kDraining;
  if (before->job != nullptr) Cancel(before->job);
  if (before->info.readers > 0) {
    replaced_.push_back(before);
  } else {
    sets_.Forget(before->info.version);
    LeaveMemory(*before);
  }
}

void AdapterBook::Finish(LoadJob& job, absl::Status status) {
  GH_CHECK(job.state == LoadJob::State::kRunning);
  End(job.version->job, std::move(status));
}

void AdapterBook::End(Job job, absl::Status status) {
  job->status = std::move(status);
  job->state = LoadJob::State::kDone;
  job->version->job = nullptr;
  const auto entry = entries_.find(job->version->info.name);
  Tell(*job);
  if (entry == entries_.end() || entry->second.loading != job) return;  // published, or back from disk
  entry->second.loading = nullptr;
  if (entry->second.serving == nullptr) entries_.erase(entry);
}

absl::StatusOr<bool> AdapterBook::Outcome(const LoadJob& job) {
  GH_CHECK(job.done());
  if (job.version->replaced) return false;
  if (job.cancelled()) {
    if (job.version->info.state == AdapterState::kReady) return false;
    return absl::FailedPreconditionError(StrCat("adapter '", job.version->info.name, "' is being unloaded"));
  }
  if (!job.status.ok()) return job.Result();
  return true;
}

}  // namespace guildhall
