#include "server/administration.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/format_bytes.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/replacement_check.h"

namespace guildhall {
namespace {

constexpr std::chrono::seconds kBusyPatience{2};  // for another change of the same adapter
constexpr absl::Duration kProgressInterval = absl::Seconds(5);

std::string Shown(const std::string& task) {
  return task.empty() ? "\"\"" : task;
}

bool Same(const AdapterConfig& a, const AdapterConfig& b) {
  return a.path == b.path && a.pin == b.pin && a.expert_config == b.expert_config;
}

void LogLoaded(const AdapterInfo& info) {
  Log().info("adapter {}: {}, version {}, {} in {:.1f} s; {} layers, {} experts, {} low-rank modules{}",
             info.name, info.kind, info.version, FormatBytes(info.tensor_bytes), info.load_seconds,
             info.layers, info.experts, info.low_rank_modules, info.pinned ? "; pinned" : "");
  for (const std::string& note : info.notes) Log().info("adapter {}: {}", info.name, note);
}

// One line per five seconds.
std::function<void(uint64_t, uint64_t)> LogProgress(const std::string& name) {
  auto last = std::make_shared<absl::Time>(absl::Now());
  return [name, last](uint64_t done, uint64_t total) {
    if (absl::Now() - *last < kProgressInterval) return;
    *last = absl::Now();
    Log().info("adapter {}: loading, {} of {}", name, FormatBytes(done), FormatBytes(total));
  };
}

// Of a message that begins with the key.
absl::Status OfTaskKey(const absl::Status& status) {
  const std::string message(status.message());
  return WithField(status, message.substr(0, message.find(':')));
}

}  // namespace

class Administration::Busy {
 public:
  static absl::StatusOr<std::unique_ptr<Busy>> Enter(Administration& owner, const std::string& name) {
    std::unique_lock lock(owner.mutex_);
    // A refused load is over in no time: nobody's unload fails because of it.
    const bool free =
        owner.changed_.wait_for(lock, kBusyPatience, [&] { return !owner.busy_.contains(name); });
    if (free) {
      owner.busy_.insert(name);
      return std::unique_ptr<Busy>(new Busy(owner, name));
    }
    return PreconditionError("ADAPTER_BUSY", name,
                             StrCat("adapter ", name,
                                    ": another load, unload or pin of it is under way; try again when it has "
                                    "ended"));
  }
  ~Busy() {
    const std::lock_guard lock(owner_.mutex_);
    owner_.busy_.erase(name_);
    owner_.leaving_.erase(name_);
    owner_.replacing_.erase(name_);
    owner_.changed_.notify_all();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  Busy(Administration& owner, std::string name) : owner_(owner), name_(std::move(name)) {}
  Administration& owner_;
  const std::string name_;
};

Administration::Administration(const ServerConfig& config, AdapterCatalog& adapters, TaskRegistry& tasks,
                               Engine& engine)
    : config_(config.adapters),
      configured_tasks_(config.tasks),
      adapters_(adapters),
      tasks_(tasks),
      engine_(engine) {}

absl::Status Administration::Preload(const RunTimeState& state) {
  std::set<std::string> waived;
  for (const auto& [name, adapter] : config_.preload) {
    const auto changed = state.adapters.find(name);
    const bool taken_away = changed != state.adapters.end() && !changed->second;
    if (taken_away && !UsedAtStart(name, state)) continue;
    AdapterLoad load;
    load.adapter = adapter;
    load.progress = LogProgress(name);
    load.check = [&waived](const AdapterManifest& manifest) {
      waived.insert(manifest.waived.begin(), manifest.waived.end());
      return absl::OkStatus();
    };
    const auto info = adapters_.Load(load);
    if (!info.ok()) {
      return WithMessage(info.status(),
                         StrCat("adapters.preload.", name, ": ", std::string(info.status().message())));
    }
    LogLoaded(*info);
    known_[name] = adapter;
  }
  for (const std::string& line : IdleWaivers(config_, waived)) Log().warn("{}", line);
  const auto snapshot = tasks_.Snapshot();
  for (const auto& [id, task] : *snapshot) {
    const absl::Status together = adapters_.CheckTogether(task->adapters);
    if (!together.ok()) {
      return WithMessage(together, StrCat(TaskKey(id), ".adapters: ", std::string(together.message())));
    }
    if (task->adapters.size() != 1) continue;
    GH_RETURN_IF_ERROR(tasks_.CheckText(*task, adapters_.Text(task->adapters).get(), TaskKey(id)));
  }
  return absl::OkStatus();
}

void Administration::Restore(RunTimeState state) {
  {
    const std::lock_guard lock(mutex_);
    restoring_ = true;
  }
  for (const auto& [name, adapter] : state.adapters) {
    if (adapter) RestoreAdapter(*adapter);
  }
  for (const auto& [id, task] : state.tasks) {
    const absl::Status status = task ? PutTask(*task).status() : DeleteTask(id);
    const bool gone_already = !task && absl::IsNotFound(status);
    if (status.ok() || gone_already) continue;
    Log().error("adapters.state_file: task {} is not restored: {}", Shown(id), std::string(status.message()));
  }
  const std::lock_guard lock(mutex_);
  restoring_ = false;
  // What failed now may work at the next start: it is kept.
  state_ = std::move(state);
}

void Administration::RestoreAdapter(const AdapterConfig& adapter) {
  AdapterLoad load;
  load.adapter = adapter;
  load.replace = true;
  load.progress = LogProgress(adapter.name);
  const absl::Status status = LoadAdapter(load).status();
  if (status.ok()) return;
  Log().error("adapters.state_file: adapter {} is not restored: {}", adapter.name,
              std::string(status.message()));
}

bool Administration::UsedAtStart(const std::string& name, const RunTimeState& state) const {
  const auto uses = [&](const TaskConfig& task) {
    return std::any_of(task.adapters.begin(), task.adapters.end(),
                       [&](const TaskAdapter& adapter) { return adapter.name == name; });
  };
  for (const auto& [id, task] : configured_tasks_) {
    if (!state.tasks.contains(id) && uses(task)) return true;
  }
  return std::any_of(state.tasks.begin(), state.tasks.end(),
                     [&](const auto& task) { return task.second && uses(*task.second); });
}

absl::StatusOr<AdapterInfo> Administration::LoadAdapter(const AdapterLoad& load) {
  const std::string& name = load.adapter.name;
  GH_ASSIGN_OR_RETURN(const auto busy, Busy::Enter(*this, name));
  AdapterLoad checked = load;
  checked.check = [&](const AdapterManifest& manifest) { return CheckUsers(name, manifest); };
  GH_ASSIGN_OR_RETURN(AdapterInfo info, adapters_.Load(checked));
  LogLoaded(info);
  AdapterConfig adapter = load.adapter;
  adapter.pin = info.pinned;  // what replaces a pinned version is pinned without being told
  const std::lock_guard lock(mutex_);
  Remember(name, std::move(adapter));
  GH_RETURN_IF_ERROR(Save());
  return info;
}

absl::StatusOr<UnloadResult> Administration::UnloadAdapter(const std::string& name,
                                                           std::optional<uint64_t> expected_version,
                                                           std::optional<absl::Duration> wait) {
  GH_ASSIGN_OR_RETURN(const auto busy, Busy::Enter(*this, name));
  {
    const std::lock_guard lock(mutex_);
    GH_RETURN_IF_ERROR(CheckUnused(name));
    leaving_.insert(name);
  }
  GH_ASSIGN_OR_RETURN(
      const UnloadResult result,
      adapters_.Unload(name, expected_version, wait.value_or(absl::Seconds(config_.unload_wait_s))));
  Log().info("adapter {}: unloaded, {} free again", name, FormatBytes(result.freed_bytes));
  const std::lock_guard lock(mutex_);
  Remember(name, std::nullopt);
  GH_RETURN_IF_ERROR(Save());
  return result;
}

absl::StatusOr<AdapterInfo> Administration::PinAdapter(const std::string& name, bool pinned) {
  GH_ASSIGN_OR_RETURN(const auto busy, Busy::Enter(*this, name));
  GH_ASSIGN_OR_RETURN(AdapterInfo info, adapters_.Pin(name, pinned));
  Log().info("adapter {}: {}", name, pinned ? "pinned" : "not pinned any more");
  const std::lock_guard lock(mutex_);
  if (const auto at = known_.find(name); at != known_.end()) {
    AdapterConfig changed = at->second;
    changed.pin = pinned;
    Remember(name, std::move(changed));
  }
  GH_RETURN_IF_ERROR(Save());
  return info;
}

absl::StatusOr<bool> Administration::PutTask(const TaskConfig& task) {
  const auto resolved = tasks_.Resolve(task, "task");
  if (!resolved.ok()) return OfTaskKey(resolved.status());
  if (task.id.empty() && !task.adapters.empty()) {
    return FieldError("task.adapters", "the base has none by its nature; give the task an id");
  }
  const std::lock_guard lock(mutex_);
  if (const absl::Status together = adapters_.CheckTogether((*resolved)->adapters); !together.ok()) {
    return FieldError("task.adapters", std::string(together.message()));
  }
  GH_RETURN_IF_ERROR(CheckAdapters(**resolved));
  if (task.adapters.size() == 1) {
    const absl::Status text =
        tasks_.CheckText(**resolved, adapters_.Text((*resolved)->adapters).get(), "task");
    if (!text.ok()) return OfTaskKey(text);
  }
  GH_ASSIGN_OR_RETURN(const bool replaced, Publish(*resolved));
  Log().info("task {}: {}", Shown(task.id), replaced ? "replaced" : "added");
  state_.tasks[task.id] = task;
  GH_RETURN_IF_ERROR(Save());
  return replaced;
}

// The engine first: a task that requests can name must have a policy.
absl::StatusOr<bool> Administration::Publish(std::shared_ptr<const Task> task) {
  GH_RETURN_IF_ERROR(engine_.PutTask(task->policy));
  return tasks_.Put(std::move(task));
}

absl::Status Administration::DeleteTask(const std::string& id) {
  if (id.empty()) {
    return FieldError("id", "the base, \"\", cannot be deleted; put it to change what it gives a request");
  }
  const std::lock_guard lock(mutex_);
  if (!tasks_.Remove(id)) return MissingResource("task", id);
  if (const absl::Status status = engine_.DeleteTask(id); !status.ok()) {
    Log().error("task {}: the engine does not let go of it: {}", id, std::string(status.message()));
  }
  Log().info("task {}: deleted", id);
  if (configured_tasks_.contains(id)) {
    state_.tasks[id] = std::nullopt;
  } else {
    state_.tasks.erase(id);
  }
  return Save();
}

std::map<std::string, std::vector<std::string>> Administration::TasksByAdapter() const {
  std::map<std::string, std::vector<std::string>> users;
  const auto snapshot = tasks_.Snapshot();
  for (const auto& [id, task] : *snapshot) {
    for (const AdapterUse& use : task->adapters) users[use.name].push_back(id);
  }
  return users;
}

absl::Status Administration::CheckUnused(const std::string& name) const {
  const auto users = TasksByAdapter();
  const auto at = users.find(name);
  if (at == users.end()) return absl::OkStatus();
  return PreconditionError("ADAPTER_IN_USE", name,
                           StrCat("adapter ", name, ": used by the tasks ", TaskNames(at->second),
                                  "; delete them or put them with other adapters first"));
}

absl::Status Administration::CheckUsers(const std::string& name, const AdapterManifest& manifest) {
  const std::lock_guard lock(mutex_);
  // The tasks of the run before, which go with these adapters, come after them.
  if (restoring_) return absl::OkStatus();
  replacing_.insert(name);
  const auto text = TextOf(manifest.companion);
  return CheckReplacement(
      name, ChangesOf(manifest), *tasks_.Snapshot(),
      [this](const std::string& other) { return adapters_.Changes(other); },
      [&](const Task& task) { return tasks_.CheckText(task, text.get(), TaskKey(task.id)); });
}

absl::Status Administration::CheckAdapters(const Task& task) const {
  for (const AdapterUse& use : task.adapters) {
    if (leaving_.contains(use.name) || (busy_.contains(use.name) && !known_.contains(use.name))) {
      return PreconditionError(
          "ADAPTER_BUSY", use.name,
          StrCat("adapter ", use.name, ": it is being ",
                 leaving_.contains(use.name) ? "unloaded" : "loaded; put the task then"));
    }
    if (!known_.contains(use.name)) return MissingResource("adapter", use.name);
    // The load has asked those who were there whether they can go on with it.
    const bool demanding =
        task.adapters.size() > 1 || use.scale != 1.0f || task.text_is_chat || !task.system_prompt.empty();
    if (demanding && replacing_.contains(use.name)) {
      return PreconditionError("ADAPTER_BUSY", use.name,
                               StrCat("adapter ", use.name, ": it is being replaced; put the task then"));
    }
  }
  return absl::OkStatus();
}

// What differs from the configuration is what the state file holds.
void Administration::Remember(const std::string& name, std::optional<AdapterConfig> adapter) {
  const auto configured = config_.preload.find(name);
  const bool in_config = configured != config_.preload.end();
  if (adapter && in_config && Same(*adapter, configured->second)) {
    state_.adapters.erase(name);
  } else if (adapter || in_config) {
    state_.adapters[name] = adapter;
  } else {
    state_.adapters.erase(name);
  }
  if (adapter) {
    known_[name] = *std::move(adapter);
  } else {
    known_.erase(name);
  }
}

absl::Status Administration::Save() {
  if (config_.state_file.empty() || restoring_) return absl::OkStatus();
  const absl::Status status = WriteStateFile(config_.state_file, state_);
  if (status.ok()) return status;
  Log().error("{}", std::string(status.message()));
  constexpr std::string_view kLost = "this is in force, but the next start will not know of it: ";
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(
        StrCat(kLost, "the disk of adapters.state_file is full: make room and change anything again"));
  }
  return PreconditionError(
      "STATE_FILE", "adapters.state_file",
      StrCat(kLost, "the server cannot write adapters.state_file, and its log says why"));
}

}  // namespace guildhall
