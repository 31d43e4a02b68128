// What the weight manager knows of one version of an adapter.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "weights/adapter_memory.h"
#include "weights/adapter_weights.h"
#include "weights/reclaim_queue.h"
#include "weights/weight_manager.h"

namespace guildhall {

// What became of a version's memory.
struct Freed {
  std::atomic<bool> done{false};
  std::atomic<uint64_t> bytes{0};
};

// A version in memory. Its last holder leaves it in the reclaim queue; there its slots and pages are freed.
struct ResidentAdapter : ReclaimItem {
  std::vector<Run> runs;
  AdapterWeights weights;
  bool kv_b = false;  // changes latent attention's kv_b
  std::shared_ptr<Freed> freed = std::make_shared<Freed>();
};

struct AdapterVersion;

// One way of a version into memory: the first, or back from disk.
struct LoadJob {
  std::shared_ptr<AdapterVersion> version;
  const LoadRequest* request = nullptr;  // of a first load, whose caller waits; null: back from disk
  std::atomic<bool> cancel{false};
  std::atomic<uint64_t> done_bytes{0}, total_bytes{0};
  bool pin = false;       // once it is there
  bool finished = false;  // guarded by the manager's lock, as all below
  absl::Status status;

  bool cancelled() const { return cancel && absl::IsCancelled(status); }
  // For one of those who wait: it shares nothing with the others', whose last owner may be any thread.
  absl::Status Result() const { return absl::Status(status.code(), status.message()); }
};

// Guarded by the manager's lock, but for what the first load fills in before anybody else sees it.
struct AdapterVersion {
  AdapterInfo info;  // without what List() works out: tier, mapped_bytes, progress
  OpenAdapter open;
  std::string fingerprint;
  std::shared_ptr<const ResidentAdapter> resident;  // null: on disk
  std::shared_ptr<LoadJob> job;                     // under way or queued
  bool replaced = false;                            // by a newer version: gone with its last reader
  uint64_t last_tick = 0;                           // the order of last uses

  bool evictable() const {
    return resident != nullptr && job == nullptr && info.state == AdapterState::kReady && !info.pinned &&
           info.readers == 0;
  }
};

}  // namespace guildhall
