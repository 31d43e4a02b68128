#include "server/serve.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "base/address_space.h"
#include "base/format_bytes.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "runtime/served_model.h"
#include "server/deployment.h"
#include "server/serve_plan.h"
#include "server/server.h"
#include "server/shutdown_signals.h"
#include "server/version.h"

namespace guildhall {
namespace {

void LogPlan(const ModelSpec& spec, const Backend& backend, const MemoryUse& memory) {
  Log().info("back end: {}", backend.Describe());
  Log().info("model: {} ({}), {} layers, {} experts of which {} per token, context {} tokens",
             spec.architecture, DTypeName(spec.dtype), spec.layers.size(), spec.gate.experts, spec.gate.k,
             spec.max_positions);
  Log().info("weights: {}, {} packed", WeightFormatsText(memory.formats), FormatBytes(memory.weights));
  Log().info("memory: {}", memory.text);
}

absl::StatusOr<std::unique_ptr<ServedModel>> LoadModel(const ServedModelOptions& options, ModelFiles files,
                                                       const ProgressFunction& progress) {
  const absl::Time begin = absl::Now();
  GH_ASSIGN_OR_RETURN(auto model, ServedModel::Load(options, std::move(files), LogPlan, progress));
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  const uint64_t bytes = model->memory().weights;
  Log().info("loaded {} in {:.1f} s ({:.0f} MB/s)", FormatBytes(bytes), seconds,
             static_cast<double>(bytes) * 1e-6 / std::max(seconds, 1e-3));
  return model;
}

// The model outlives it.
DeployedModel Deployed(ServedModel& model) {
  DeployedModel deployed;
  deployed.model = &model.model();
  deployed.info = model.Info();
  deployed.memory = model.MemoryItems();
  deployed.weights = &model.weights();
  deployed.open_folder = [&model](const std::string& directory, const AdapterFolderOptions& options) {
    return model.OpenAdapter(directory, options);
  };
  deployed.share_budget = [&model](EngineOptions& options) { model.AddTo(options); };
  return deployed;
}

std::string TaskList(const TaskSnapshot& tasks) {
  std::string text;
  for (const auto& [id, task] : tasks)
    StrAppend(&text, text.empty() ? "" : ", ", id.empty() ? "\"\" (base)" : id);
  return text;
}

// Before the first of those that end the process where the system refuses them a stack.
absl::Status CheckAddresses(const ServerConfig& config) {
  const auto cpus = static_cast<uint64_t>(std::max(1u, std::thread::hardware_concurrency()));
  const uint64_t compute = config.cpu.threads > 0 ? static_cast<uint64_t>(config.cpu.threads) : cpus;
  return CheckAddressSpace(ReadAddressSpace(), StartNeeds(compute + 2 * cpus + 12));
}

}  // namespace

absl::Status Serve(const ServerConfig& config, std::span<const StartListener> listeners,
                   const ProgressFunction& progress) {
  GH_ASSIGN_OR_RETURN(const ServedModelOptions options, ModelOptions(config));
  if (options.base.backend.products == DeviceProducts::kLibrary) {
    Log().warn("device_products: library: an answer's bits may depend on what it is batched with");
  }
  BoundHeap();
  GH_RETURN_IF_ERROR(CheckAddresses(config));
  ShutdownWatchdog watchdog;           // until all of it has gone
  std::unique_ptr<ServedModel> model;  // outlives the server
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
  GH_ASSIGN_OR_RETURN(server, Server::Start(config, listeners));
  serving = server.get();
  for (const auto& listener : server->listeners()) {
    Log().info("{} on {} ({})", listener->name(), listener->Target(), listener->protection());
  }

  GH_ASSIGN_OR_RETURN(ServePlan plan, PlanServe(config));
  for (const std::string& note : plan.files.notes) Log().warn("{}", note);
  std::vector<int32_t> end_tokens = std::move(plan.files.end_tokens);
  GH_ASSIGN_OR_RETURN(model, LoadModel(plan.model, std::move(plan.files), progress));
  DeployedModel deployed = Deployed(*model);
  deployed.eos_tokens = std::move(end_tokens);
  GH_ASSIGN_OR_RETURN(auto deployment,
                      MakeDeployment(config, std::move(plan.deployment), std::move(deployed)));
  Log().info("adapters: {}", deployment->adapters->Summary());
  Log().info("tasks: {}", TaskList(*deployment->tasks->Snapshot()));
  server->Publish(deployment);
  deployment.reset();
  ReturnFreedMemory();  // of the load
  Log().info("ready");
  const bool complete = server->RunUntilDrained(&watchdog);
  Log().info("stopped{}", complete ? "" : "; requests were cut off at the drain limit");
  const bool lost = server->state().deployment()->engine->Status().device_lost;
  // The engine ends before the model that it runs on.
  serving = nullptr;
  watchdog.Enter("the end of the engine");
  server.reset();
  watchdog.Enter("the load of an adapter, or the device's memory");
  const absl::Status reported = model->Report();
  model.reset();
  if (lost) return absl::UnavailableError("the device has failed for good; the log says how");
  return reported;
}

}  // namespace guildhall
