#include "server/task_registry.h"

#include <filesystem>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/status_mapping.h"
#include "text/stop_matcher.h"

namespace guildhall {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxGenerationConfigBytes = size_t{1} << 20;

absl::Status TaskError(const std::string& id, std::string_view key, std::string_view message) {
  return absl::InvalidArgumentError(StrCat("tasks.", id.empty() ? "\"\"" : id, ".", key, ": ", message));
}

absl::StatusOr<std::shared_ptr<const ChatTemplate>> OwnTemplate(const TaskConfig& config) {
  if (config.chat_template.empty() && config.chat_template_file.empty()) return nullptr;
  std::string source = config.chat_template;
  const char* key = "chat_template";
  if (!config.chat_template_file.empty()) {
    key = "chat_template_file";
    auto text = ReadSmallFile(config.chat_template_file, kMaxTemplateBytes);
    if (!text.ok()) return TaskError(config.id, key, std::string(text.status().message()));
    source = *std::move(text);
  }
  auto compiled = ChatTemplate::Compile(source);
  if (!compiled.ok()) return TaskError(config.id, key, std::string(compiled.status().message()));
  return compiled;
}

absl::StatusOr<std::shared_ptr<const Task>> BuildTask(const TaskConfig& config, const TextAssets& text,
                                                      const SamplingDefaults& below) {
  auto task = std::make_shared<Task>();
  task->id = config.id;
  task->description = config.description;
  task->adapter = config.adapter;
  task->system_prompt = config.system_prompt;
  GH_ASSIGN_OR_RETURN(task->chat_template, OwnTemplate(config));
  const auto inherited = text.SelectTemplate("", false);
  task->has_chat_template = text.tokenizer != nullptr && (task->chat_template != nullptr || inherited.ok());
  task->text_is_chat = config.text == "chat" || (config.text == "auto" && !config.system_prompt.empty());
  if (task->text_is_chat && !task->has_chat_template) {
    return TaskError(config.id, config.text == "chat" ? "text" : "system_prompt",
                     text.tokenizer == nullptr
                         ? "the model folder has no tokenizer"
                         : StrCat("needs a chat template, and the model folder has none that works (",
                                  std::string(inherited.status().message()),
                                  "); set chat_template or chat_template_file"));
  }
  task->defaults = MergeDefaults(config.sampling, below);
  if (const auto stops = StopMatcher::Create(task->defaults.stop); !stops.ok()) {
    return TaskError(config.id, "sampling.stop", std::string(stops.status().message()));
  }
  task->policy.id = config.id;
  task->policy.weight = config.weight;
  task->policy.max_queued = static_cast<int>(config.max_queued);
  task->policy.max_running = static_cast<int>(config.max_running);
  return task;
}

}  // namespace

SamplingDefaults MergeDefaults(const SamplingDefaults& over, const SamplingDefaults& under) {
  SamplingDefaults merged = over;
  const auto fill = [](auto& value, const auto& below) {
    if (!value) value = below;
  };
  fill(merged.temperature, under.temperature);
  fill(merged.top_k, under.top_k);
  fill(merged.top_p, under.top_p);
  fill(merged.min_p, under.min_p);
  fill(merged.repetition_penalty, under.repetition_penalty);
  fill(merged.presence_penalty, under.presence_penalty);
  fill(merged.frequency_penalty, under.frequency_penalty);
  fill(merged.max_tokens, under.max_tokens);
  fill(merged.min_tokens, under.min_tokens);
  fill(merged.ignore_eos, under.ignore_eos);
  fill(merged.include_stop, under.include_stop);
  if (merged.stop.empty()) merged.stop = under.stop;
  if (merged.stop_token_ids.empty()) merged.stop_token_ids = under.stop_token_ids;
  return merged;
}

absl::StatusOr<SamplingDefaults> ReadGenerationDefaults(const std::string& directory) {
  SamplingDefaults defaults;
  const std::string path = (std::filesystem::path(directory) / "generation_config.json").string();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return defaults;
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(path, kMaxGenerationConfigBytes));
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, "generation_config.json"));
  GH_ASSIGN_OR_RETURN(const JsonObject object, JsonObject::From(json, "generation_config.json"));
  const auto number = [&](const char* key, double min, double max,
                          std::optional<double>& value) -> absl::Status {
    if (!object.Has(key)) return absl::OkStatus();
    GH_ASSIGN_OR_RETURN(value, object.Number(key));
    if (*value < min || *value > max)
      return object.Error(key, StrCat("expected ", min, " to ", max, ", found ", *value));
    return absl::OkStatus();
  };
  GH_RETURN_IF_ERROR(number("temperature", 0, 100, defaults.temperature));
  GH_RETURN_IF_ERROR(number("top_p", 1e-9, 1, defaults.top_p));
  GH_RETURN_IF_ERROR(number("min_p", 0, 0.999, defaults.min_p));
  GH_RETURN_IF_ERROR(number("repetition_penalty", 1e-9, 100, defaults.repetition_penalty));
  if (object.Has("top_k")) {
    GH_ASSIGN_OR_RETURN(defaults.top_k, object.Int("top_k", 0, std::numeric_limits<int32_t>::max()));
  }
  if (object.Has("max_new_tokens")) {
    GH_ASSIGN_OR_RETURN(defaults.max_tokens,
                        object.Int("max_new_tokens", 0, std::numeric_limits<int32_t>::max()));
  }
  GH_ASSIGN_OR_RETURN(const bool sample, object.BoolOr("do_sample", true));
  if (!sample) defaults.temperature = 0.0;
  return defaults;
}

absl::StatusOr<std::unique_ptr<TaskRegistry>> TaskRegistry::Build(
    const ServerConfig& config, const TextAssets& text, const SamplingDefaults& generation_defaults) {
  const SamplingDefaults below = MergeDefaults(generation_defaults, config.sampling);
  TaskSnapshot tasks;
  for (const auto& [id, task] : config.tasks) {
    GH_ASSIGN_OR_RETURN(tasks[id], BuildTask(task, text, below));
  }
  if (!tasks.contains("")) {
    TaskConfig base;
    base.description = "the base model";
    // Where nothing is said of the base, only the engine's own bounds hold.
    base.max_queued = config.engine.max_queued;
    base.max_running = config.engine.max_running;
    GH_ASSIGN_OR_RETURN(tasks[""], BuildTask(base, text, below));
  }
  return std::make_unique<TaskRegistry>(std::move(tasks));
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
