// The tasks that requests may name.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "config/server_config.h"
#include "engine/engine.h"
#include "engine/speculation.h"
#include "runtime/adapter_text.h"
#include "text/folder.h"

namespace guildhall {

// One task, resolved and immutable. A request keeps the version that it began with.
struct Task {
  std::string id;
  std::string description;
  std::vector<AdapterUse> adapters;                   // as of WeightManager::Acquire; none: the base
  std::shared_ptr<const ChatTemplate> chat_template;  // the task's own; null: the model folder's
  std::string system_prompt;
  bool text_is_chat = false;  // plain text is one user message
  PartialSampling sampling;   // the task's own
  PartialSampling below;      // generation_config.json -> server, merged
  PartialSampling defaults;   // task -> below, merged
  Speculation speculation;    // task -> server, merged
  TaskPolicy policy;
};

// "tasks.ID", for messages.
std::string TaskKey(const std::string& id);

// For messages: ten at most, then how many more there are; the base as "".
std::string TaskNames(const std::vector<std::string>& ids);

using TaskSnapshot = std::map<std::string, std::shared_ptr<const Task>>;

// Thread-safe. Readers take an immutable snapshot; a change replaces the whole map.
class TaskRegistry {
 public:
  // Resolves the configured tasks and adds the base, "". INVALID_ARGUMENT names the task and its key: a
  // template that does not compile, a file that cannot be read, text = "chat" without any template.
  static absl::StatusOr<std::unique_ptr<TaskRegistry>> Build(const ServerConfig& config,
                                                             const TextAssets& text,
                                                             const PartialSampling& generation_defaults);

  // NOT_FOUND with a ResourceInfo.
  absl::StatusOr<std::shared_ptr<const Task>> Find(const std::string& id) const;
  std::shared_ptr<const TaskSnapshot> Snapshot() const;
  // For the engine.
  std::vector<TaskPolicy> Policies() const;

  // What a task begins with before anything is said of it: its own configuration where it has one, else the
  // defaults. Only weight and quotas.
  TaskConfig Quotas(const std::string& id) const;
  // Resolves a task by the rules of Build, without adding it. The message begins with `where`.
  absl::StatusOr<std::shared_ptr<const Task>> Resolve(const TaskConfig& config,
                                                      const std::string& where) const;
  // Whether the text side of its adapter, null: the base's, can serve the task: as CheckTaskText, the message
  // with `where` before it. Build and Resolve ask that of all but tasks with one adapter, whose text is not
  // known before it is loaded.
  absl::Status CheckText(const Task& task, const AdapterText* adapter, const std::string& where) const;
  bool Put(std::shared_ptr<const Task> task);  // true: it replaced one
  bool Remove(const std::string& id);          // false: there is none

 private:
  TaskRegistry(const ServerConfig& config, TextAssets text, PartialSampling below)
      : configured_(config.tasks), engine_(config.engine), text_(std::move(text)), below_(std::move(below)) {}

  const std::map<std::string, TaskConfig> configured_;
  const EngineConfig engine_;
  const TextAssets text_;
  const PartialSampling below_;  // generation_config.json -> server
  mutable std::mutex mutex_;
  std::shared_ptr<const TaskSnapshot> tasks_ = std::make_shared<const TaskSnapshot>();
};

}  // namespace guildhall
