// What the weight manager knows of one version of an adapter.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "weights/adapter_info.h"
#include "weights/adapter_memory.h"
#include "weights/adapter_weights.h"
#include "weights/compatibility.h"
#include "weights/reclaim_queue.h"

namespace guildhall {

// What became of a version's memory. Guarded by the manager's lock.
struct Freed {
  bool done = false;
  uint64_t bytes = 0;
};

// A version in memory, immutable. Its last holder leaves it in the reclaim queue; there its slots and pages
// are freed.
struct ResidentAdapter : ReclaimItem {
  std::vector<Run> runs;
  AdapterWeights weights;
  bool kv_b = false;  // changes latent attention's kv_b
  std::shared_ptr<Freed> freed = std::make_shared<Freed>();
};

struct AdapterVersion;

// One way of a version into memory: the first, or back from disk. Guarded by the manager's lock, but for
// atomics and constants.
struct LoadJob {
  enum class State { kQueued, kRunning, kDone };

  LoadJob(std::shared_ptr<AdapterVersion> of, bool is_first) : version(std::move(of)), first(is_first) {}

  const std::shared_ptr<AdapterVersion> version;
  const bool first;
  LoadRequest request;              // of a first load, constant once it is queued
  std::atomic<bool> cancel{false};  // the load is to end soon
  std::atomic<uint64_t> done_bytes{0}, total_bytes{0};
  bool pin = false;                                   // once it is there
  int turns = 0;                                      // at looking for room that are over; the load thread's
  absl::Time room_deadline = absl::InfiniteFuture();  // to find room by; the load thread's
  std::string obstacle;  // why it found none so far; empty: it does not look for room, or has found it
  State state = State::kQueued;
  absl::Status status;  // once it is done

  bool done() const { return state == State::kDone; }
  bool cancelled() const { return cancel && absl::IsCancelled(status); }
  // For one of those who wait: it shares nothing with the others', whose last owner may be any thread.
  absl::Status Result() const { return absl::Status(status.code(), status.message()); }
};

// What a load found out, to be told of the version when it is published.
struct LoadedAdapter {
  std::shared_ptr<const ResidentAdapter> resident;
  std::string kind, base_name, fingerprint;
  std::vector<std::string> notes;
  std::shared_ptr<const AdapterCompanion> companion;
  uint64_t tensor_bytes = 0;
  int layers = 0, experts = 0, low_rank_modules = 0;
  double load_seconds = 0.0;
  AdapterChanges changes;
};

// Guarded by the manager's lock, but for what is constant.
struct AdapterVersion {
  AdapterInfo info;         // without what the manager works out: mapped_bytes, progress
  OpenAdapter open;         // constant
  std::string fingerprint;  // of its files when it was first published; constant from then on
  std::shared_ptr<const AdapterChanges> changes;      // null until it is published; constant from then on
  std::shared_ptr<const AdapterCompanion> companion;  // of its first load; constant once it is published
  std::shared_ptr<const ResidentAdapter> resident;    // null unless info.tier says that it is in memory
  std::shared_ptr<LoadJob> job;                       // under way or queued
  bool replaced = false;                              // by a newer version: gone with its last reader
  uint64_t last_use = 0;                              // the order of last uses
  int waiting = 0;        // of its readers, those that still wait for another version
  bool yielding = false;  // takes no new readers until a load has had its turn

  bool evictable() const {
    return resident != nullptr && job == nullptr && info.state == AdapterState::kReady && !info.pinned &&
           info.readers == waiting;
  }
  // Leaves memory when its readers have ended, unless somebody changes their mind.
  bool held() const {
    const bool stays = info.pinned && !replaced && info.state != AdapterState::kDraining;
    return resident != nullptr && !stays && !evictable();
  }
};

// A reader of versions that are not all in memory. Guarded by the manager's lock.
struct WaitingReader {
  std::vector<std::shared_ptr<AdapterVersion>> versions;
  bool done = false;
  absl::StatusOr<bool> outcome = true;  // once it is done: as AdapterBook::Outcome
};

}  // namespace guildhall
