// Loads, publishes, evicts and unloads adapters over one base model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/work_limit.h"
#include "checkpoint/model_spec.h"
#include "kernels/backend.h"
#include "kernels/page_memory.h"
#include "weights/adapter_faults.h"
#include "weights/adapter_info.h"
#include "weights/adapter_set.h"
#include "weights/byte_budget.h"
#include "weights/compatibility.h"
#include "weights/expert_tables.h"
#include "weights/slot_table.h"
#include "weights/step_workspace.h"
#include "weights/weight_formats.h"

namespace guildhall {

struct WeightManagerOptions {
  // The base's. Replaced experts and shared experts are packed in the formats of theirs; unset: as the
  // adapter's files have them.
  WeightFormats formats = {};
  int load_threads = 1;    // that pack an adapter; they run at a low priority
  int64_t max_rows = 512;  // of a step, for the workspaces
  // How long one load looks for room at first, and asks the KV cache for it, before others have their turn:
  // counted from the moment when it came nearer for the last time.
  absl::Duration kv_patience = absl::Seconds(1);
  // How long a load that an administrator asked for waits for memory that running requests hold. Those that
  // requests ask for are waited for as long as these say.
  absl::Duration room_wait = absl::Seconds(30);
  int64_t shut_off_after = 0;  // as of AdapterFaults
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
  // The same on other pages than the back end's, which outlive the manager.
  WeightManager(const ModelSpec& spec, Backend& backend, const std::vector<BaseExperts>& base,
                std::shared_ptr<ByteBudget> budget, std::shared_ptr<StepWorkspace> workspace,
                const WeightManagerOptions& options, PageMemory& pages);
  ~WeightManager();  // CHECK: nobody holds a set

  // Blocks until the adapter is published. On failure nothing is left, and a version that was there still
  // serves. ALREADY_EXISTS, ABORTED, CANCELLED, FAILED_PRECONDITION (it could never fit: the message says
  // needed, free, pinned, evictable), UNAVAILABLE (it would fit, but requests hold the memory and have not
  // ended for `room_wait`), and what `open` and the source's reads return.
  absl::StatusOr<AdapterInfo> Load(const LoadRequest& request);

  // No new readers from now on; waits up to `wait` for those there are, then unmaps. FAILED_PRECONDITION
  // names how many still read after `wait`: then the adapter stays as it was. NOT_FOUND, ABORTED
  // (expected_version differs).
  absl::StatusOr<UnloadResult> Unload(const std::string& name, std::optional<uint64_t> expected_version,
                                      absl::Duration wait);

  // Pinning loads what is on disk. NOT_FOUND, FAILED_PRECONDITION, UNAVAILABLE as Load.
  absl::Status Pin(const std::string& name, bool pinned);
  std::vector<AdapterInfo> List() const;  // by name
  absl::StatusOr<AdapterInfo> Info(const std::string& name) const;

  // Whether these adapters may serve together (compatibility.h), those that are loaded, on disk or not:
  // INVALID_ARGUMENT. Reads no weights.
  absl::Status CheckTogether(std::span<const AdapterUse> uses) const;
  // What the version that serves under `name` changes; null: none does.
  std::shared_ptr<const AdapterChanges> Changes(const std::string& name) const;
  // What goes with the version that serves under `name`; null: nothing does, or none serves.
  std::shared_ptr<const AdapterCompanion> Companion(const std::string& name) const;

  // The combination, its adapters loaded if they are on disk. NOT_FOUND names the adapter; DEADLINE_EXCEEDED
  // when a load did not end by `deadline`; FAILED_PRECONDITION when it can never fit, or as
  // AdapterFaults::Check; INVALID_ARGUMENT as
  // CheckTogether; RESOURCE_EXHAUSTED when neither the budget nor the KV cache has room for what its steps
  // need. Null for no uses: the base.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            absl::Time deadline);
  // CANCELLED as well, within 50 ms.
  absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(std::span<const AdapterUse> uses,
                                                            const WorkLimit& limit);

  // What a step reads; never null, never blocks on a load.
  std::shared_ptr<const ExpertTables> Tables() const;

  // Whom requests blame; outlived by the manager.
  AdapterFaults& faults() const;

  ByteBudget& budget();
  uint64_t mapped_bytes() const;
  // Blocks until the sets that were dropped by now count as readers no more, and what left memory with the
  // last of them has been freed: for tests and orderly shutdown.
  void AwaitFreed();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace guildhall
