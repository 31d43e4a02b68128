#include "server/task_registry.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/error_details.h"
#include "server/task_text.h"
#include "text/stop_matcher.h"

namespace guildhall {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxShownTasks = 10;

absl::Status TaskError(const std::string& where, std::string_view key, std::string_view message) {
  return absl::InvalidArgumentError(StrCat(where, ".", key, ": ", message));
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> OwnTemplate(const TaskConfig& config,
                                                                const std::string& where) {
  if (config.chat_template.empty() && config.chat_template_file.empty()) return nullptr;
  std::string source = config.chat_template;
  const char* key = "chat_template";
  if (!config.chat_template_file.empty()) {
    key = "chat_template_file";
    auto text = ReadSmallFile(config.chat_template_file, kMaxTemplateBytes);
    if (!text.ok()) return TaskError(where, key, std::string(text.status().message()));
    source = *std::move(text);
  }
  if (source.size() > kMaxTemplateBytes) {
    return TaskError(where, key,
                     StrCat("expected at most ", kMaxTemplateBytes, " bytes, found ", source.size()));
  }
  auto compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return TaskError(where, key, std::string(compiled.status().message()));
  return compiled;
}

absl::StatusOr<Speculation> SpeculationOf(const SpeculationDefaults& task, const SpeculationConfig& server,
                                          const std::string& where) {
  const Speculation merged{
      .max_draft_tokens = static_cast<int32_t>(task.max_draft_tokens.value_or(server.max_draft_tokens)),
      .min_ngram = static_cast<int32_t>(task.min_ngram.value_or(server.min_ngram)),
      .max_ngram = static_cast<int32_t>(task.max_ngram.value_or(server.max_ngram))};
  if (merged.min_ngram <= merged.max_ngram) return merged;
  return TaskError(where, task.min_ngram ? "speculation.min_ngram" : "speculation.max_ngram",
                   StrCat("min_ngram (", merged.min_ngram, ") is above max_ngram (", merged.max_ngram,
                          "), engine.speculation included; set both"));
}

}  // namespace

std::string TaskKey(const std::string& id) {
  return StrCat("tasks.", id.empty() ? "\"\"" : id);
}

std::string TaskNames(const std::vector<std::string>& ids) {
  std::string names;
  for (size_t i = 0; i < std::min(ids.size(), kMaxShownTasks); ++i) {
    StrAppend(&names, i == 0 ? "" : ", ", ids[i].empty() ? "\"\"" : ids[i]);
  }
  if (ids.size() > kMaxShownTasks) StrAppend(&names, " and ", ids.size() - kMaxShownTasks, " more");
  return names;
}

absl::StatusOr<std::shared_ptr<const Task>> TaskRegistry::Resolve(const TaskConfig& config,
                                                                  const std::string& where) const {
  auto task = std::make_shared<Task>();
  task->id = config.id;
  task->description = config.description;
  for (const TaskAdapter& adapter : config.adapters) {
    task->adapters.push_back({adapter.name, static_cast<float>(adapter.scale)});
  }
  task->system_prompt = config.system_prompt;
  GH_ASSIGN_OR_RETURN(task->chat_template, OwnTemplate(config, where));
  task->text_is_chat = config.text == "chat" || (config.text == "auto" && !config.system_prompt.empty());
  if (task->adapters.size() != 1) GH_RETURN_IF_ERROR(CheckText(*task, nullptr, where));
  task->sampling = config.sampling;
  task->below = below_;
  task->defaults = Merge(task->sampling, below_);
  if (const auto stops = StopMatcher::Create(task->defaults.stop); !stops.ok()) {
    return TaskError(where, "sampling.stop", std::string(stops.status().message()));
  }
  GH_ASSIGN_OR_RETURN(task->speculation, SpeculationOf(config.speculation, engine_.speculation, where));
  task->policy.id = config.id;
  task->policy.weight = config.weight;
  task->policy.max_queued = static_cast<int>(config.max_queued);
  task->policy.max_running = static_cast<int>(config.max_running);
  return std::shared_ptr<const Task>(std::move(task));
}

absl::Status TaskRegistry::CheckText(const Task& task, const AdapterText* adapter,
                                     const std::string& where) const {
  const absl::Status status = CheckTaskText(task, ServingText(text_, adapter));
  return status.ok() ? status : WithMessage(status, StrCat(where, ".", status.message()));
}

absl::StatusOr<std::unique_ptr<TaskRegistry>> TaskRegistry::Build(
    const ServerConfig& config, const TextAssets& text, const PartialSampling& generation_defaults) {
  std::unique_ptr<TaskRegistry> registry(
      new TaskRegistry(config, text, Merge(generation_defaults, config.sampling)));
  for (const auto& [id, task] : config.tasks) {
    GH_ASSIGN_OR_RETURN(auto resolved, registry->Resolve(task, TaskKey(id)));
    registry->Put(std::move(resolved));
  }
  if (!config.tasks.contains("")) {
    TaskConfig base = registry->Quotas("");
    base.description = "the base model";
    GH_ASSIGN_OR_RETURN(auto resolved, registry->Resolve(base, TaskKey("")));
    registry->Put(std::move(resolved));
  }
  return registry;
}

TaskConfig TaskRegistry::Quotas(const std::string& id) const {
  TaskConfig quotas;
  quotas.id = id;
  if (const auto at = configured_.find(id); at != configured_.end()) {
    quotas.weight = at->second.weight;
    quotas.max_queued = at->second.max_queued;
    quotas.max_running = at->second.max_running;
  } else if (id.empty()) {
    // Where nothing is said of the base, only the engine's own bounds hold.
    quotas.max_queued = engine_.max_queued;
    quotas.max_running = engine_.max_running;
  }
  return quotas;
}

bool TaskRegistry::Put(std::shared_ptr<const Task> task) {
  const std::lock_guard lock(mutex_);
  auto changed = std::make_shared<TaskSnapshot>(*tasks_);
  auto& place = (*changed)[task->id];
  const bool replaced = place != nullptr;
  place = std::move(task);
  tasks_ = std::move(changed);
  return replaced;
}

bool TaskRegistry::Remove(const std::string& id) {
  const std::lock_guard lock(mutex_);
  auto changed = std::make_shared<TaskSnapshot>(*tasks_);
  if (changed->erase(id) == 0) return false;
  tasks_ = std::move(changed);
  return true;
}

absl::StatusOr<std::shared_ptr<const Task>> TaskRegistry::Find(const std::string& id) const {
  const auto snapshot = Snapshot();
  const auto at = snapshot->find(id);
  if (at == snapshot->end()) return MissingResource("task", id);
  return at->second;
}

std::shared_ptr<const TaskSnapshot> TaskRegistry::Snapshot() const {
  const std::lock_guard lock(mutex_);
  return tasks_;
}

std::vector<TaskPolicy> TaskRegistry::Policies() const {
  std::vector<TaskPolicy> policies;
  const auto snapshot = Snapshot();
  for (const auto& [id, task] : *snapshot) policies.push_back(task->policy);
  return policies;
}

}  // namespace guildhall
