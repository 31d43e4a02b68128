#include "server/serve_plan.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace guildhall {
namespace {

absl::StatusOr<WeightFormats> FormatsOf(const WeightsConfig& config) {
  WeightFormats formats;
  GH_ASSIGN_OR_RETURN(formats.experts, ParseFormatChoice("weights.experts", config.experts));
  GH_ASSIGN_OR_RETURN(formats.shared_experts,
                      ParseFormatChoice("weights.shared_experts", config.shared_experts));
  GH_ASSIGN_OR_RETURN(formats.dense, ParseFormatChoice("weights.dense", config.dense));
  GH_ASSIGN_OR_RETURN(formats.attention, ParseFormatChoice("weights.attention", config.attention));
  GH_ASSIGN_OR_RETURN(formats.head, ParseFormatChoice("weights.head", config.head));
  return formats;
}

absl::StatusOr<BaseModelOptions> BaseOptions(const ServerConfig& config) {
  BaseModelOptions options;
  options.path = config.model.path;
  options.checkpoint.ignore_config_keys = config.model.ignore_config_keys;
  options.checkpoint.ignore_generation_keys = config.model.ignore_generation_config_keys;
  options.checkpoint.end_tokens = config.model.end_tokens;
  GH_ASSIGN_OR_RETURN(options.formats, FormatsOf(config.weights));
  options.map_weights = config.weights.map;
  options.verify_weights = config.weights.verify;
  options.backend.device = config.device;
  options.backend.products = *ParseDeviceProducts(config.device_products);  // one of the key's choices
  options.device_memory = config.device_memory;
  options.backend.cpu.threads = static_cast<int>(config.cpu.threads);
  options.backend.cpu.pin = config.cpu.pin;
  options.backend.cpu.isa = config.cpu.isa;
  options.backend.page_bytes = static_cast<size_t>(config.memory.page_bytes);
  options.kv_budget = config.memory.kv;
  options.kv_format = ParseKvFormat(config.memory.kv_dtype);  // nullopt for "auto"
  options.max_rows = config.engine.token_budget;
  options.max_sequences = config.engine.max_running;
  options.max_outputs = std::max<int64_t>(config.engine.max_running, options.max_outputs);
  return options;
}

}  // namespace

absl::StatusOr<ServedModelOptions> ModelOptions(const ServerConfig& config) {
  if (config.model.path.empty()) {
    return absl::InvalidArgumentError("model.path is not set: name the Hugging Face folder to serve");
  }
  ServedModelOptions options;
  GH_ASSIGN_OR_RETURN(options.base, BaseOptions(config));
  options.load_threads = static_cast<int>(config.adapters.load_threads);
  options.room_wait = absl::Seconds(config.adapters.load_wait_s);
  options.shut_off_after = config.adapters.shut_off_after;
  options.experts_as_base = config.adapters.expert_format == "base";
  options.profile = config.engine.profile;
  options.trace = config.engine.trace;
  return options;
}

absl::StatusOr<ServePlan> PlanServe(const ServerConfig& config) {
  ServePlan plan;
  GH_ASSIGN_OR_RETURN(plan.model, ModelOptions(config));
  const BaseModelOptions& base = plan.model.base;
  GH_ASSIGN_OR_RETURN(plan.files, OpenModelFiles(base.path, base.checkpoint));
  GH_ASSIGN_OR_RETURN(plan.deployment, PlanDeployment(config, plan.files.text, plan.files.defaults));
  return plan;
}

}  // namespace guildhall
