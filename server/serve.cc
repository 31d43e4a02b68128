#include "server/serve.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "engine/base_model.h"
#include "server/serve_profile.h"
#include "server/server.h"
#include "server/shutdown_signals.h"
#include "server/status_mapping.h"
#include "server/version.h"
#include "text/folder.h"

namespace guildhall {
namespace {

v1::MemoryItem Item(std::string name, uint64_t bytes, std::string note) {
  v1::MemoryItem item;
  item.set_name(std::move(name));
  item.set_bytes(bytes);
  item.set_note(std::move(note));
  return item;
}

v1::ModelStatus Describe(const std::string& path, const ModelSpec& spec, const Backend& backend) {
  v1::ModelStatus status;
  status.set_architecture(spec.architecture);
  std::filesystem::path folder = std::filesystem::path(path).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  status.set_name(folder.filename().string());
  status.set_dtype(std::string(DTypeName(spec.dtype)));
  status.set_vocabulary(spec.vocabulary);
  status.set_context_tokens(spec.max_positions);
  status.set_backend(backend.Describe());
  status.set_experts(spec.gate.experts);
  status.set_experts_per_token(spec.gate.k);
  status.set_layers(static_cast<int64_t>(spec.layers.size()));
  return status;
}

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

absl::StatusOr<BaseModelOptions> ModelOptions(const ServerConfig& config) {
  BaseModelOptions options;
  options.path = config.model.path;
  options.checkpoint.ignore_config_keys = config.model.ignore_config_keys;
  GH_ASSIGN_OR_RETURN(options.formats, FormatsOf(config.weights));
  options.map_weights = config.weights.map;
  options.verify_weights = config.weights.verify;
  options.backend.device = config.backend;
  options.backend.cpu.threads = static_cast<int>(config.cpu.threads);
  options.backend.cpu.pin = config.cpu.pin;
  options.backend.cpu.isa = config.cpu.isa;
  options.kv_budget = config.memory.kv;
  options.kv_format = ParseKvFormat(config.memory.kv_dtype);  // nullopt for "auto"
  options.max_rows = config.engine.token_budget;
  options.max_sequences = config.engine.max_running;
  options.max_outputs = std::max<int64_t>(config.engine.max_running, options.max_outputs);
  return options;
}

void LogPlan(const ModelSpec& spec, const Backend& backend, const MemoryUse& memory) {
  Log().info("back end: {}", backend.Describe());
  Log().info("model: {} ({}), {} layers, {} experts of which {} per token, context {} tokens",
             spec.architecture, DTypeName(spec.dtype), spec.layers.size(), spec.gate.experts, spec.gate.k,
             spec.max_positions);
  Log().info("weights: {}, {} packed", WeightFormatsText(memory.formats), FormatBytes(memory.weights));
  Log().info("memory: {}", memory.text);
}

// The model and what stands on it, in the order of their lives.
struct LoadedModel {
  BaseModel base;
  std::unique_ptr<WeightManager> weights;
  DeploymentParts parts;
};

// Whatever of the adapters can be told before minutes of loading, not after.
absl::Status CheckAdapterFiles(const AdaptersConfig& config) {
  GH_ASSIGN_OR_RETURN(const AdapterRoots roots, AdapterRoots::Open(config.roots));
  for (const auto& [name, adapter] : config.preload) {
    const absl::Status status = roots.Folder(adapter.path).status();
    if (!status.ok()) {
      return WithMessage(status, StrCat("adapters.preload.", name, ".path: ", std::string(status.message())));
    }
  }
  if (config.state_file.empty()) return absl::OkStatus();
  return ReadStateFile(config.state_file).status();
}

std::unique_ptr<WeightManager> MakeWeights(const ServerConfig& config, const BaseModel& base) {
  WeightManagerOptions options;
  options.max_rows = config.engine.token_budget;
  options.page_bytes = static_cast<size_t>(config.memory.page_bytes);
  options.load_threads = static_cast<int>(config.adapters.load_threads);
  if (config.adapters.expert_format == "base") options.formats = base.memory.formats;
  return std::make_unique<WeightManager>(base.decoder->spec(), *base.backend, base.decoder->base_experts(),
                                         base.budget, options);
}

absl::Status LoadModel(const ServerConfig& config, const ProgressFunction& progress, ServeProfile& profile,
                       LoadedModel& loaded) {
  DeploymentParts& parts = loaded.parts;
  GH_ASSIGN_OR_RETURN(BaseModelOptions options, ModelOptions(config));
  profile.AddTo(options);
  GH_ASSIGN_OR_RETURN(parts.text, LoadTextAssets(config.model.path));
  GH_ASSIGN_OR_RETURN(parts.generation_defaults, ReadGenerationDefaults(config.model.path));
  // Wrong tasks are told before minutes of loading, not after.
  GH_RETURN_IF_ERROR(TaskRegistry::Build(config, parts.text, parts.generation_defaults).status());
  GH_RETURN_IF_ERROR(CheckAdapterFiles(config.adapters));

  const absl::Time begin = absl::Now();
  GH_ASSIGN_OR_RETURN(loaded.base, LoadBaseModel(options, LogPlan, progress));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const MemoryUse& memory = loaded.base.memory;
  Log().info("loaded {} in {:.1f} s ({:.0f} MB/s)", FormatBytes(memory.weights), seconds,
             static_cast<double>(memory.weights) * 1e-6 / std::max(seconds, 1e-3));
  const ModelSpec& spec = loaded.base.decoder->spec();
  parts.memory = {Item("weights", memory.weights,
                       StrCat("packed for the back end, formats ", WeightFormatsText(memory.formats))),
                  Item("step", memory.step, "activations and logits"),
                  Item("KV cache and adapters", memory.shared, memory.text)};
  loaded.weights = MakeWeights(config, loaded.base);
  parts.model = loaded.base.decoder.get();
  profile.Start(loaded.base);
  parts.share_budget = [&base = loaded.base, &profile](EngineOptions& engine) {
    ShareBudget(base, engine);
    profile.AddTo(engine);
  };
  parts.weights = loaded.weights.get();
  parts.open_folder = [checkpoint = loaded.base.checkpoint.get()](const std::string& directory,
                                                                  const AdapterFolderOptions& folder) {
    return OpenAdapterFolder(directory, *checkpoint, folder);
  };
  parts.eos_tokens = spec.eos_tokens;
  parts.info = Describe(config.model.path, spec, *loaded.base.backend);
  return absl::OkStatus();
}

std::string TaskList(const TaskSnapshot& tasks) {
  std::string text;
  for (const auto& [id, task] : tasks)
    StrAppend(&text, text.empty() ? "" : ", ", id.empty() ? "\"\" (base)" : id);
  return text;
}

void LogListener(const char* what, const GrpcServer& server, const TlsConfig& tls) {
  Log().info("{} on {} ({})", what, server.Target(),
             tls.mutual()    ? "mutual TLS"
             : tls.enabled() ? "TLS"
                             : "no TLS");
}

}  // namespace

absl::Status Serve(const ServerConfig& config, const ProgressFunction& progress) {
  if (config.model.path.empty()) {
    return absl::InvalidArgumentError("model.path is not set: name the Hugging Face folder to serve");
  }
  ServeProfile profile(config.engine.profile, config.engine.trace);
  LoadedModel loaded;  // outlives the server
  std::unique_ptr<Server> server;
  std::atomic<Server*> serving{nullptr};
  const ShutdownSignals signals([&serving](const char* name) {
    Server* const running = serving.load();
    Log().info("{}: shutting down; a second signal ends the process at once", name);
    // While the model loads there is nothing to drain, and a load cannot be stopped half way.
    if (running == nullptr || running->state().phase() == ServerState::Phase::kLoading) {
      Log().flush();
      std::_Exit(0);
    }
    running->BeginDrain();
  });
  Log().info("guildhall {}", Version());
  GH_ASSIGN_OR_RETURN(server, Server::Start(config));
  serving = server.get();
  LogListener("requests", server->inference(), config.server.tls);
  if (server->admin() != nullptr) LogListener("administration", *server->admin(), config.admin.tls);

  GH_RETURN_IF_ERROR(LoadModel(config, progress, profile, loaded));
  GH_ASSIGN_OR_RETURN(auto deployment, MakeDeployment(config, std::move(loaded.parts)));
  Log().info("adapters: {}", deployment->adapters->Summary());
  Log().info("tasks: {}", TaskList(*deployment->tasks->Snapshot()));
  server->Publish(deployment);
  deployment.reset();
  Log().info("ready");
  const bool complete = server->RunUntilDrained();
  Log().info("stopped{}", complete ? "" : "; requests were cut off at the drain limit");
  // The engine ends before the model that it runs on.
  serving = nullptr;
  server.reset();
  return profile.Report();
}

}  // namespace guildhall
