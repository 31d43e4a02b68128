// A model with all that a request needs of it: text, tasks, adapters, limits and the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/memory_account.h"
#include "config/server_config.h"
#include "engine/engine.h"
#include "runtime/model_info.h"
#include "server/adapter_catalog.h"
#include "server/administration.h"
#include "server/state_file.h"
#include "server/task_registry.h"
#include "server/text_gate.h"
#include "server/validate.h"
#include "text/folder.h"

namespace guildhall {

// Immutable, except that the engine runs; owned by the server.
struct Deployment {
  TextAssets text;
  std::unique_ptr<TaskRegistry> tasks;
  ServedLimits limits;
  std::unique_ptr<TextGate> text_gate = std::make_unique<TextGate>();
  ModelInfo model;
  std::vector<MemoryItem> memory;
  std::unique_ptr<MemoryAccount> request_memory;  // of all open requests, beside the KV cache
  int64_t stream_capacity = 32;
  bool log_requests = true;
  bool log_prompts = false;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<AdapterCatalog> adapters;
  std::unique_ptr<Administration> administration;
};

// What can be read and told wrong before minutes of loading weights, and not after.
struct DeploymentPlan {
  TextAssets text;
  PartialSampling generation_defaults;  // of the model folder's generation_config.json
  std::unique_ptr<TaskRegistry> tasks;
  AdapterRoots roots;
  RunTimeState state;
};

// Resolves the tasks, finds the configured adapters' folders and reads the state file. Errors name the key.
absl::StatusOr<DeploymentPlan> PlanDeployment(const ServerConfig& config, TextAssets text,
                                              const PartialSampling& generation_defaults);

// What the engine reads of the configuration; the model's part is not in it. INVALID_ARGUMENT names the key.
absl::StatusOr<EngineOptions> EngineOptionsOf(const EngineConfig& config);

// What adapters' text files are read by, over the plan's text or a copy of it.
AdapterTextRules TextRules(const ServerConfig& config, const TextAssets& text,
                           const PartialSampling& generation_defaults, std::vector<int32_t> end_tokens,
                           int64_t vocabulary);

// The model that is deployed; tests put one of their own here.
struct DeployedModel {
  LanguageModel* model = nullptr;  // outlives the deployment
  ModelInfo info;
  std::vector<MemoryItem> memory;
  std::vector<int32_t> eos_tokens;
  WeightManager* weights = nullptr;  // outlives the deployment; null: no adapters
  OpenFolder open_folder;            // with weights
  // Tells the engine what its KV cache shares with the adapters; empty: nothing.
  std::function<void(EngineOptions&)> share_budget;
};

// Starts the engine, loads the configured adapters and restores what the state file kept. Errors of the
// configured ones name them.
absl::StatusOr<std::shared_ptr<const Deployment>> MakeDeployment(const ServerConfig& config,
                                                                 DeploymentPlan plan, DeployedModel model);

}  // namespace guildhall
