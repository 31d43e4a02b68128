// What is said of adapters, and what is asked of the weight manager: plain data.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "weights/adapter_source.h"

namespace guildhall {

// `loading -> ready -> draining -> gone` is the life of a version; a ready one is resident, or on disk after
// an eviction (it comes back by itself when a request asks for it, if its files are still the same).
enum class AdapterState { kLoading, kReady, kDraining };
enum class AdapterTier { kDisk, kResident };

struct AdapterInfo {
  std::string name;
  uint64_t version = 0;  // unique for ever within a process; > 0
  AdapterState state = AdapterState::kLoading;
  AdapterTier tier = AdapterTier::kDisk;
  std::string kind, base_name, source;  // source: what the loader was given, for people
  bool pinned = false;
  uint64_t tensor_bytes = 0;  // packed
  uint64_t mapped_bytes = 0;  // pages that only this adapter holds, and its share of border pages; 0 on disk
  int64_t readers = 0;        // requests that hold it
  absl::Time loaded_at, last_used;
  double load_seconds = 0.0;  // of the last load
  double progress = 0.0;      // 0 .. 1 while loading
  int layers = 0;             // touched
  int experts = 0;            // replaced, all layers
  int low_rank_modules = 0;
  std::vector<std::string> notes;
  // Requests that ended in numbers that are not finite, as AdapterFaults tells: in all, and in a row in the
  // combination that has most; what the last was told.
  uint64_t faults = 0, consecutive_faults = 0;
  std::string last_fault;
  bool shut_off = false;  // in some combination
};

struct AdapterUse {
  std::string name;
  float scale = 1.0f;
};

// Opens the adapter's files anew (at the first load and again after an eviction). Called on the load thread.
using OpenAdapter = std::function<absl::StatusOr<std::unique_ptr<AdapterSource>>()>;

struct LoadRequest {
  std::string name;
  std::string source = {};  // for listings
  OpenAdapter open;
  bool pin = false;  // what replaces a pinned version is pinned too
  // Unset: the name must be free (ALREADY_EXISTS). 0: the same. Else: replaces that version (ABORTED if
  // another one is there).
  std::optional<uint64_t> expected_version = {};
  bool replace = false;  // whatever version is there, if any
  // May be empty; on a loader thread.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
  std::stop_token cancel = {};  // a stop ends the load soon, from any thread
};

struct UnloadResult {
  uint64_t version = 0;
  uint64_t freed_bytes = 0;
};

}  // namespace guildhall
