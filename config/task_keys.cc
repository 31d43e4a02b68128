// The keys below "tasks.ID" and "adapters.preload.NAME".
#include "config/key_group.h"
#include "engine/speculation.h"

namespace guildhall {
namespace {

KeyList<TaskConfig> BuildTaskKeys() {
  KeyList<TaskConfig> keys;
  KeyGroup<TaskConfig, TaskConfig> task = RootGroup(keys);
  task.Add("description", "for people, in ListTasks", &TaskConfig::description);
  task.Add("adapters", "what serves the task, in this order; none: the base weights", &TaskConfig::adapters);
  task.Add("chat_template", "Jinja source; empty: the model folder's", &TaskConfig::chat_template);
  task.Add("chat_template_file", "file with the Jinja source", &TaskConfig::chat_template_file).file = true;
  task.Add("system_prompt", "begins every chat that brings no system message", &TaskConfig::system_prompt);
  task.Add("text", "plain text is the prompt (raw) or a user message (chat); auto: chat with a system prompt",
           &TaskConfig::text)
      .choices = {"auto", "raw", "chat"};
  task.Add("weight", "share of the tokens relative to other tasks", &TaskConfig::weight, {0.001, 1000});
  task.Add("max_queued", "requests of the task that may wait", &TaskConfig::max_queued, {0, 1e6});
  task.Add("max_running", "requests of the task computed at a time", &TaskConfig::max_running, {1, 4096});

  auto speculation = task.Inside("speculation", &TaskConfig::speculation);
  speculation.Add("max_draft_tokens", "tokens that prompt lookup guesses at a time; 0: none",
                  &SpeculationDefaults::max_draft_tokens, {0, kMaxDraftTokens});
  speculation.Add("min_ngram", "so many last tokens must have occurred before",
                  &SpeculationDefaults::min_ngram, {1, kMaxNgram});
  speculation.Add("max_ngram", "more last tokens are not compared", &SpeculationDefaults::max_ngram,
                  {1, kMaxNgram});
  AddSamplingKeys(task.Inside("sampling", &TaskConfig::sampling));
  return keys;
}

KeyList<AdapterConfig> BuildAdapterKeys() {
  KeyList<AdapterConfig> keys;
  KeyGroup<AdapterConfig, AdapterConfig> adapter = RootGroup(keys);
  adapter.Add("path", "the adapter's folder, relative to one of adapters.roots", &AdapterConfig::path);
  adapter.Add("pin", "never evict it", &AdapterConfig::pin);
  adapter.Add("expert_config", "expert_cfg.json of an ESFT folder that has none, relative to the roots",
              &AdapterConfig::expert_config);
  return keys;
}

}  // namespace

const std::vector<ConfigKey<TaskConfig>>& TaskKeys() {
  static const auto* const keys = new KeyList<TaskConfig>(BuildTaskKeys());
  return *keys;
}

const std::vector<ConfigKey<AdapterConfig>>& AdapterKeys() {
  static const auto* const keys = new KeyList<AdapterConfig>(BuildAdapterKeys());
  return *keys;
}

}  // namespace guildhall
