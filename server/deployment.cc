#include "server/deployment.h"

#include <utility>

#include "base/status.h"
#include "base/str_cat.h"
#include "config/step_target.h"
#include "kernels/ops.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

absl::Status CheckAdapterFolders(const AdaptersConfig& config, const AdapterRoots& roots) {
  for (const auto& [name, adapter] : config.preload) {
    const absl::Status status = roots.Folder(adapter.path).status();
    if (!status.ok()) {
      return WithMessage(status, StrCat("adapters.preload.", name, ": ", std::string(status.message())));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EngineOptions> EngineOptionsOf(const EngineConfig& config) {
  EngineOptions options;
  options.max_queued = static_cast<int>(config.max_queued);
  options.max_running = static_cast<int>(config.max_running);
  options.token_budget = static_cast<int>(config.token_budget);
  options.prefill_chunk = static_cast<int>(config.prefill_chunk);
  options.prefix_cache = config.prefix_cache;
  GH_ASSIGN_OR_RETURN(const StepTarget step, ParseStepTarget(config.target_step_ms));
  options.step_bound = step.mode;
  options.target_step = step.target;
  options.co_batching_patience = static_cast<int>(config.co_batching_patience);
  options.stall_limit = absl::Seconds(config.stall_limit_s);
  if (config.hung_step_s > 0) options.hung_step = absl::Seconds(config.hung_step_s);
  return options;
}

absl::StatusOr<DeploymentPlan> PlanDeployment(const ServerConfig& config, TextAssets text,
                                              const PartialSampling& generation_defaults) {
  DeploymentPlan plan;
  plan.text = std::move(text);
  plan.generation_defaults = generation_defaults;
  GH_ASSIGN_OR_RETURN(plan.tasks, TaskRegistry::Build(config, plan.text, generation_defaults));
  GH_ASSIGN_OR_RETURN(plan.roots, AdapterRoots::Open(config.adapters.roots));
  GH_RETURN_IF_ERROR(CheckAdapterFolders(config.adapters, plan.roots));
  if (!config.adapters.state_file.empty()) {
    GH_ASSIGN_OR_RETURN(plan.state, ReadStateFile(config.adapters.state_file));
  }
  return plan;
}

AdapterTextRules TextRules(const ServerConfig& config, const TextAssets& text,
                           const PartialSampling& generation_defaults, std::vector<int32_t> end_tokens,
                           int64_t vocabulary) {
  return {.text = &text,
          .defaults = generation_defaults,
          .end_tokens = std::move(end_tokens),
          .only_these_end = !config.model.end_tokens.empty(),
          .vocabulary = vocabulary,
          .ignore_generation_keys = config.model.ignore_generation_config_keys};
}

absl::StatusOr<std::shared_ptr<const Deployment>> MakeDeployment(const ServerConfig& config,
                                                                 DeploymentPlan plan, DeployedModel model) {
  auto deployment = std::make_shared<Deployment>();
  deployment->text = std::move(plan.text);
  deployment->tasks = std::move(plan.tasks);
  deployment->limits =
      MakeServedLimits(config.limits, model.model->vocabulary(), model.model->max_positions(),
                       model.model->kv_blocks() * kKvBlockTokens);
  deployment->model = std::move(model.info);
  deployment->memory = std::move(model.memory);
  deployment->request_memory =
      std::make_unique<MemoryAccount>(static_cast<uint64_t>(config.limits.request_memory_bytes));
  deployment->stream_capacity = config.engine.stream_capacity;
  deployment->log_requests = config.log.requests;
  deployment->log_prompts = config.log.prompts;
  GH_ASSIGN_OR_RETURN(EngineOptions options, EngineOptionsOf(config.engine));
  AdapterTextRules text_rules = TextRules(config, deployment->text, plan.generation_defaults,
                                          model.eos_tokens, deployment->limits.vocabulary);
  options.eos_tokens = std::move(model.eos_tokens);
  if (model.share_budget) model.share_budget(options);
  deployment->engine = std::make_unique<Engine>(*model.model, std::move(options),
                                                deployment->tasks->Policies(), model.weights);
  deployment->adapters =
      std::make_unique<AdapterCatalog>(config.adapters, std::move(plan.roots), model.weights,
                                       std::move(model.open_folder), std::move(text_rules));
  deployment->administration = std::make_unique<Administration>(config, *deployment->adapters,
                                                                *deployment->tasks, *deployment->engine);
  GH_RETURN_IF_ERROR(deployment->administration->Preload(plan.state));
  deployment->administration->Restore(std::move(plan.state));
  deployment->engine->Start();
  return deployment;
}

}  // namespace guildhall
