// The server as a whole: two listeners, the services on them, and the way from loading over serving to
// drained.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "config/server_config.h"
#include "server/admin_service.h"
#include "server/grpc_server.h"
#include "server/inference_service.h"
#include "server/open_calls.h"
#include "server/server_state.h"

namespace guildhall {

// What a Deployment is made of; tests put a model of their own here.
struct DeploymentParts {
  LanguageModel* model = nullptr;  // outlives the deployment
  TextAssets text;
  PartialSampling generation_defaults;  // of the model folder
  std::vector<int32_t> eos_tokens;
  v1::ModelStatus info;
  std::vector<v1::MemoryItem> memory;
  WeightManager* weights = nullptr;  // outlives the deployment; null: no adapters
  OpenFolder open_folder;            // with weights
  // Tells the engine what its KV cache shares with the adapters; empty: nothing.
  std::function<void(EngineOptions&)> share_budget;
};

// Resolves tasks and limits, starts the engine, loads the configured adapters and restores what the state
// file kept. Errors of the configured ones name them; a state file that cannot be read is INVALID_ARGUMENT.
absl::StatusOr<std::shared_ptr<const Deployment>> MakeDeployment(const ServerConfig& config,
                                                                 DeploymentParts parts);

// Thread-safe after Start. Health: "liveness" says that the process lives; "", "readiness" and the name of
// the inference service say that requests are served (not while loading or draining, nor after repeated
// numeric failures).
class Server {
 public:
  // Opens the listeners in the state "loading". Errors as GrpcServer::Start, and for an unreadable token
  // file.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config);
  ~Server();  // shuts down at once

  void Publish(std::shared_ptr<const Deployment> deployment);
  void BeginDrain() { state_.BeginDrain(std::nullopt); }

  // Blocks until a drain is asked for (BeginDrain or Admin.Drain), lets open requests end within the limit,
  // closes the listeners and stops the engine. True: all had ended by themselves.
  bool RunUntilDrained();

  const GrpcServer& inference() const { return *inference_server_; }
  const GrpcServer* admin() const { return admin_server_.get(); }  // null where it is disabled
  int64_t open_calls() const { return calls_.open(); }
  const ServerState& state() const { return state_; }

 private:
  explicit Server(const ServerConfig& config);
  absl::Status StartInference();
  absl::Status StartAdmin();
  void Watch();
  void SetHealth();
  void StopWatching();
  void CloseListeners();

  const ServerConfig config_;
  ServerState state_;
  OpenCalls calls_;
  InferenceService inference_;
  std::unique_ptr<AdminService> admin_service_;
  std::unique_ptr<GrpcServer> inference_server_;
  std::unique_ptr<GrpcServer> admin_server_;

  std::mutex watch_mutex_;
  std::condition_variable watch_wakes_;
  bool watch_ends_ = false;
  std::thread watcher_;  // health, and readers that have stalled
};

}  // namespace guildhall
