// Loads, publishes, evicts and unloads adapters over one base model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "kernels/page_memory.h"
#include "weights/adapter_set.h"
#include "weights/adapter_source.h"
#include "weights/byte_budget.h"
#include "weights/expert_tables.h"
#include "weights/slot_table.h"
#include "weights/step_workspace.h"
#include "weights/weight_formats.h"

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
};

struct AdapterUse {
  std::string name;
  float scale = 1.0f;
};

// Opens the adapter's files anew (at the first load and again after an eviction). Called on loader threads.
using OpenAdapter = std::function<absl::StatusOr<std::unique_ptr<AdapterSource>>()>;

struct WeightManagerOptions {
  bool padded =
      false;  // the benchmark's baseline: every adapter takes `padded_experts` places in each MoE layer
  int padded_experts = 0;
  // The base's. Replaced experts and shared experts are packed in the formats of theirs; unset: as the
  // adapter's files have them.
  WeightFormats formats = {};
  int load_threads = 1;    // that pack; they run at a low priority
  int64_t max_rows = 512;  // of a step, for the workspaces
};

struct LoadRequest {
  std::string name;
  std::string source = {};  // for listings
  OpenAdapter open;
  bool pin = false;  // what replaces a pinned version is pinned too
  // Unset: the name must be free (ALREADY_EXISTS). 0: the same. Else: replaces that version (ABORTED if
  // another one is there).
  std::optional<uint64_t> expected_version = {};
  bool replace = false;                                              // whatever version is there, if any
  std::function<void(uint64_t done, uint64_t total)> progress = {};  // may be empty; on a loader thread
  std::function<bool()> cancelled = {};  // may be empty; the caller's thread asks it often: true aborts
};

struct UnloadResult {
  uint64_t version = 0;
  uint64_t freed_bytes = 0;
};

// Thread-safe. A replaced version keeps serving the sequences that hold it. Everything that blocks says how
// long.
class WeightManager {
 public:
  // `spec`, `backend` and the weights of `base` outlive the manager. `budget` is shared with the KV cache;
  // `workspace` is the model's, and what adapters make it larger is taken from the budget, too.
  WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                const WeightManagerOptions& options);
  // The same on other pages than the device's, which outlive the manager.
  WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                const WeightManagerOptions& options, PageMemory& memory);
  ~WeightManager();  // CHECK: nobody holds a set

  // Blocks until the adapter is published. On failure nothing is left, and a version that was there still
  // serves. ALREADY_EXISTS, ABORTED, CANCELLED, FAILED_PRECONDITION (over budget: the message says needed,
  // free, pinned, evictable), and what `open` and the source's reads return.
  absl::StatusOr<AdapterInfo> Load(const LoadRequest& request);

  // No new readers from now on; waits up to `wait` for those there are, then unmaps. FAILED_PRECONDITION
  // names how many still read after `wait`: then the adapter stays as it was. NOT_FOUND, ABORTED
  // (expected_version differs).
  absl::StatusOr<UnloadResult> Unload(const std::string& name, std::optional<uint64_t> expected_version,
                                      absl::Duration wait);

  absl::Status Pin(const std::string& name,
                   bool pinned);          // pins load what is on disk; NOT_FOUND, FAILED_PRECONDITION
  std::vector<AdapterInfo> List() const;  // by name
  absl::StatusOr<AdapterInfo> Info(const std::string& name) const;

  // The combination, its adapters loaded if they are on disk. NOT_FOUND names the adapter; DEADLINE_EXCEEDED
  // when a load did not end by `deadline`; FAILED_PRECONDITION when it cannot fit; INVALID_ARGUMENT as
  // MakeAdapterSet. Null for no uses: the base.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            absl::Time deadline);

  // What a step reads; never null, never blocks on a load.
  std::shared_ptr<const ExpertTables> Tables() const;

  ByteBudget& budget();
  uint64_t mapped_bytes() const;
  // Blocks until what was dropped has been freed: for tests and orderly shutdown.
  void Settle();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace guildhall
