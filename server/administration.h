// What changes at run time: adapters and tasks, kept consistent with each other, with the engine and with the
// state file.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/server_config.h"
#include "engine/engine.h"
#include "server/adapter_catalog.h"
#include "server/state_file.h"
#include "server/task_registry.h"

namespace guildhall {

// Thread-safe; one change of an adapter at a time, changes of others beside it. Catalog, registry and engine
// outlive it. Errors are as clients may see them. A change that took effect and could not be kept for the
// next start is FAILED_PRECONDITION of the type STATE_FILE.
class Administration {
 public:
  Administration(const ServerConfig& config, AdapterCatalog& adapters, TaskRegistry& tasks, Engine& engine);

  // At start, before the first request: the configured adapters, in the order of their names. The error of
  // the first that fails names it, as do tasks whose adapters do not go together.
  absl::Status Preload(const RunTimeState& state);
  // Then what an earlier process kept: what fails is logged by name, and the rest goes on.
  void Restore(RunTimeState state);

  // As AdapterCatalog::Load; FAILED_PRECONDITION naming the tasks that could not be served with what would
  // replace their adapter.
  absl::StatusOr<AdapterInfo> LoadAdapter(const AdapterLoad& load);
  // FAILED_PRECONDITION naming the tasks that use it. `wait` unset: adapters.unload_wait_s.
  absl::StatusOr<UnloadResult> UnloadAdapter(const std::string& name,
                                             std::optional<uint64_t> expected_version,
                                             std::optional<absl::Duration> wait);
  absl::StatusOr<AdapterInfo> PinAdapter(const std::string& name, bool pinned);

  // True: it replaced one. INVALID_ARGUMENT with the field ("task.chat_template"), NOT_FOUND for an adapter
  // that is not loaded, RESOURCE_EXHAUSTED for too many tasks.
  absl::StatusOr<bool> PutTask(const TaskConfig& task);
  absl::Status DeleteTask(const std::string& id);

  // Ids of the tasks that use each adapter, by adapter.
  std::map<std::string, std::vector<std::string>> TasksByAdapter() const;

 private:
  // Marks the adapter as being changed, for as long as it lives.
  class Busy;

  absl::Status CheckUnused(const std::string& name) const;
  absl::Status CheckUsers(const std::string& name, const AdapterManifest& manifest);
  absl::Status CheckAdapters(const Task& task) const;
  absl::StatusOr<bool> Publish(std::shared_ptr<const Task> task);
  void Remember(const std::string& name, std::optional<AdapterConfig> adapter);
  absl::Status Save();
  void RestoreAdapter(const AdapterConfig& adapter);
  // By a task that will be there after Restore: then it is loaded although it was taken away.
  bool UsedAtStart(const std::string& name, const RunTimeState& state) const;

  const AdaptersConfig config_;
  const std::map<std::string, TaskConfig> configured_tasks_;
  AdapterCatalog& adapters_;
  TaskRegistry& tasks_;
  Engine& engine_;

  mutable std::mutex mutex_;                    // of what follows, and of changes to tasks
  std::condition_variable changed_;             // of busy_
  std::set<std::string> busy_;                  // adapters that are being loaded, unloaded or pinned
  std::set<std::string> leaving_;               // of those, the ones being unloaded: no task may name them
  std::set<std::string> replacing_;             // checked against the tasks that use them, not yet loaded
  std::map<std::string, AdapterConfig> known_;  // what is loaded, and how it came
  RunTimeState state_;
  bool restoring_ = false;  // nothing is written meanwhile
};

}  // namespace guildhall
