// What is known of adapters, and the rules of their lives.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "weights/adapter_version.h"
#include "weights/set_registry.h"

namespace guildhall {

// Versions, loads, readers, pins, the order of last uses, the ids of sets. No clock, thread, lock or page in
// it: the weight manager is the lock around it, and times and packed weights come in from there. Whoever
// waits for something here looks again after each change. Not thread-safe.
class AdapterBook {
 public:
  using Version = std::shared_ptr<AdapterVersion>;
  using Job = std::shared_ptr<LoadJob>;

  AdapterBook() = default;
  AdapterBook(const AdapterBook&) = delete;
  AdapterBook& operator=(const AdapterBook&) = delete;
  ~AdapterBook();

  // Loads. A job is queued, runs, is done; one name has at most one first load at a time.

  // Queues a first load. ALREADY_EXISTS, ABORTED (another version is there than expected, another load of
  // the name is under way, the version there is being unloaded).
  absl::StatusOr<Job> AddLoad(const LoadRequest& request);
  // Queues the way back of a version that is on disk, or joins the one there is.
  Job AddReturn(const Version& version);
  bool has_queued() const { return !queue_.empty(); }
  Job StartNext();  // the oldest queued one
  // Of one that was started and found no room in its turn: it queues behind the others, or ends if it has
  // been cancelled.
  void Postpone(const Job& job);
  // Ends at once what has not begun; what runs has its flag set.
  void Cancel(const Job& job);
  void CancelAll();
  // Whether what was loaded may be published now: CANCELLED, ABORTED and ALREADY_EXISTS as at AddLoad.
  absl::Status CheckPublish(const LoadJob& job) const;
  // From now on requests get it. What it replaces serves its readers, and leaves memory with the last one.
  void Publish(LoadJob& job, LoadedAdapter loaded, absl::Time now);
  void Finish(LoadJob& job, absl::Status status);  // of one that has been started
  // What a done job means for a request that waited for it. True: the version is resident. False: ask
  // again, another version serves now or the load was given up for an unload that gave up itself.
  static absl::StatusOr<bool> Outcome(const LoadJob& job);

  // Requests.

  // Counts a reader of the versions that serve now, of all or of none. NOT_FOUND, FAILED_PRECONDITION (it is
  // being unloaded).
  absl::StatusOr<std::vector<Version>> AddReaders(std::span<const AdapterUse> uses, absl::Time now);
  void DropReaders(std::span<const Version> versions, absl::Time now);
  // INVALID_ARGUMENT: the versions that serve may not serve together. Names that no version serves under
  // are left out.
  absl::Status CheckTogether(std::span<const AdapterUse> uses) const;
  SetRegistry& sets() { return sets_; }

  // A reader waits. In adapter_book_waiting.cc.

  // Queues what brings its versions into memory, in the order in which readers came. While it waits those
  // that are there may leave again, so it waits for all of them in one moment. False: they are there.
  bool BeginWait(const std::shared_ptr<WaitingReader>& reader);
  void EndWait(WaitingReader& reader, absl::StatusOr<bool> outcome);  // of one that is done: nothing
  // The reader that has waited longest for the job's version; null: none waits.
  std::shared_ptr<WaitingReader> FirstWaiting(const LoadJob& job) const;

  // These versions, and no others, take no new readers. False: so it was before.
  bool SetYielding(std::span<const Version> versions);
  bool AnyYields(std::span<const AdapterUse> uses) const;

  // Unloading.

  // Takes no new readers from now on, and ends a way back from disk. NOT_FOUND, ABORTED, FAILED_PRECONDITION.
  absl::StatusOr<Version> BeginUnload(const std::string& name, std::optional<uint64_t> expected_version);
  static bool Unused(const AdapterVersion& version) {
    return version.info.readers == 0 && version.job == nullptr;
  }
  // It stays as it was. FAILED_PRECONDITION says who held it for the time that was waited.
  absl::Status GiveUpUnload(AdapterVersion& version, absl::Duration waited);
  void EndUnload(const Version& version);  // CHECK: Unused

  // Memory.

  // Who could leave, least recently used first, but for `kept`.
  std::vector<Version> Evictable(std::span<const Version> kept = {}) const;
  // Evicts the first of them; false: there is none.
  bool EvictOldest(std::span<const Version> kept = {});
  // Who can leave once its readers have ended, least recently used first.
  std::vector<Version> Held() const;
  // Those in memory that cannot leave: pinned, or read.
  std::vector<std::shared_ptr<const ResidentAdapter>> Pinned() const;
  std::vector<std::shared_ptr<const ResidentAdapter>> Read() const;
  // What has left memory and is not freed yet: somebody looks at it for a moment longer, or its pages are
  // being given back.
  const std::vector<std::shared_ptr<const Freed>>& leaving() const { return leaving_; }
  void SetFreed(Freed& freed, uint64_t bytes);
  // The most floats of low-rank results that one row needs for one product, of all in memory and all sets.
  int64_t MostRankColumns() const;
  bool AnyChangesKvB() const;

  // Listing.

  // The version that requests get. NOT_FOUND.
  absl::StatusOr<Version> Serving(const std::string& name) const;
  absl::StatusOr<Version> ServingOrLoading(const std::string& name) const;
  std::vector<Version> Versions() const;  // by name and version; replaced ones with readers too
  void Clear();                           // CHECK: nothing is read or loaded

 private:
  // One name: the version that serves, and one that is on its way to take its place.
  struct Entry {
    Version serving;
    Job loading;
  };

  // In no order, and without allocating anything.
  template <typename Use>
  void ForEach(Use use) const {
    for (const Version& version : replaced_) use(version);
    for (const auto& [name, entry] : entries_) {
      if (entry.serving != nullptr) use(entry.serving);
      if (entry.loading != nullptr) use(entry.loading->version);
    }
  }
  absl::Status CheckExpected(const LoadRequest& request) const;
  void LeaveMemory(AdapterVersion& version);
  void End(Job job, absl::Status status);
  void Tell(const LoadJob& job);
  void LookAgain(WaitingReader& reader);
  void Replace(const Version& before);
  void MarkUsed(AdapterVersion& version, absl::Time now);
  template <typename Condition>
  std::vector<std::shared_ptr<const ResidentAdapter>> ResidentWhere(Condition condition) const;

  std::map<std::string, Entry> entries_;
  std::vector<Version> replaced_;  // by newer ones, and still read
  std::deque<Job> queue_;
  std::vector<std::shared_ptr<WaitingReader>> waiting_;  // the one that came first in front
  SetRegistry sets_;
  std::vector<std::shared_ptr<const Freed>> leaving_;
  uint64_t next_version_ = 1, uses_ = 0;
};

}  // namespace guildhall
