#include "server/server.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "config/step_target.h"
#include "kernels/ops.h"

namespace guildhall {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{100};
constexpr int64_t kSpareThreads = 64;  // for calls that are short: status, health, tokenizing
constexpr absl::Duration kCloseGrace = absl::Seconds(2);
constexpr size_t kMaxTokenBytes = 4096;
constexpr char kInferenceName[] = "guildhall.v1.Inference";
constexpr char kAdminName[] = "guildhall.v1.Admin";

absl::StatusOr<std::string> AdminToken(const AdminConfig& admin) {
  if (admin.token_file.empty()) return admin.token;
  GH_ASSIGN_OR_RETURN(std::string token, ReadSmallFile(admin.token_file, kMaxTokenBytes));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty()) return absl::InvalidArgumentError("admin.token_file: the file is empty");
  return token;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Deployment>> MakeDeployment(const ServerConfig& config,
                                                                 DeploymentParts parts) {
  auto deployment = std::make_shared<Deployment>();
  GH_ASSIGN_OR_RETURN(deployment->tasks, TaskRegistry::Build(config, parts.text, parts.generation_defaults));
  LanguageModel& model = *parts.model;
  deployment->limits = MakeServedLimits(config.limits, model.vocabulary(), model.max_positions(),
                                        model.kv_blocks() * kKvBlockTokens);
  deployment->text = std::move(parts.text);
  deployment->model = std::move(parts.info);
  deployment->memory = std::move(parts.memory);
  deployment->stream_capacity = config.engine.stream_capacity;
  deployment->log_requests = config.log.requests;
  deployment->log_prompts = config.log.prompts;
  EngineOptions options;
  options.max_queued = static_cast<int>(config.engine.max_queued);
  options.max_running = static_cast<int>(config.engine.max_running);
  options.token_budget = static_cast<int>(config.engine.token_budget);
  options.prefill_chunk = static_cast<int>(config.engine.prefill_chunk);
  options.prefix_cache = config.engine.prefix_cache;
  GH_ASSIGN_OR_RETURN(const StepTarget step, ParseStepTarget(config.engine.target_step_ms));
  options.step_bound = step.mode;
  options.target_step = step.target;
  options.co_batching_patience = static_cast<int>(config.engine.co_batching_patience);
  options.stall_limit = absl::Seconds(config.engine.stall_limit_s);
  options.eos_tokens = std::move(parts.eos_tokens);
  if (parts.share_budget) parts.share_budget(options);
  deployment->engine =
      std::make_unique<Engine>(model, std::move(options), deployment->tasks->Policies(), parts.weights);
  GH_ASSIGN_OR_RETURN(deployment->adapters,
                      AdapterCatalog::Create(config.adapters, parts.weights, std::move(parts.open_folder)));
  deployment->administration = std::make_unique<Administration>(config, *deployment->adapters,
                                                                *deployment->tasks, *deployment->engine);
  RunTimeState state;
  if (!config.adapters.state_file.empty()) {
    GH_ASSIGN_OR_RETURN(state, ReadStateFile(config.adapters.state_file));
  }
  GH_RETURN_IF_ERROR(deployment->administration->Preload(state));
  deployment->administration->Restore(std::move(state));
  deployment->engine->Start();
  return deployment;
}

Server::Server(const ServerConfig& config)
    : config_(config), calls_(config.limits.concurrent_requests), inference_(state_, calls_) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config) {
  std::unique_ptr<Server> server(new Server(config));
  GH_RETURN_IF_ERROR(server->StartInference());
  if (config.admin.enabled) GH_RETURN_IF_ERROR(server->StartAdmin());
  server->SetHealth();
  server->watcher_ = std::thread([raw = server.get()] { raw->Watch(); });
  return server;
}

absl::Status Server::StartInference() {
  GrpcServerOptions options;
  options.key = "server.listen";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config_.server.listen, options.key));
  options.tls = config_.server.tls;
  options.listener = config_.server;
  options.limits = config_.limits;
  options.threads = config_.limits.concurrent_requests + kSpareThreads;
  GH_ASSIGN_OR_RETURN(inference_server_, GrpcServer::Start(options, {&inference_}, {kInferenceName}));
  return absl::OkStatus();
}

absl::Status Server::StartAdmin() {
  GH_ASSIGN_OR_RETURN(std::string token, AdminToken(config_.admin));
  admin_service_ = std::make_unique<AdminService>(state_, calls_, std::move(token),
                                                  absl::Seconds(config_.server.drain_limit_s));
  GrpcServerOptions options;
  options.key = "admin.listen";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config_.admin.listen, options.key));
  options.tls = config_.admin.tls;
  options.listener = config_.server;
  options.limits = config_.limits;
  options.private_socket = true;
  GH_ASSIGN_OR_RETURN(admin_server_, GrpcServer::Start(options, {admin_service_.get()}, {kAdminName}));
  return absl::OkStatus();
}

Server::~Server() {
  state_.BeginDrain(absl::ZeroDuration());
  if (const auto deployment = state_.deployment()) deployment->engine->Stop();
  CloseListeners();
}

void Server::Publish(std::shared_ptr<const Deployment> deployment) {
  state_.Publish(std::move(deployment));
  SetHealth();
}

bool Server::RunUntilDrained() {
  state_.WaitForDrain(absl::InfiniteFuture());
  SetHealth();
  const absl::Duration limit = state_.drain_limit().value_or(absl::Seconds(config_.server.drain_limit_s));
  Log().info("draining: {} requests open, limit {}", calls_.open(), absl::FormatDuration(limit));
  bool complete = true;
  if (const auto deployment = state_.deployment()) complete = deployment->engine->Drain(limit);
  CloseListeners();
  if (const auto deployment = state_.deployment()) deployment->engine->Stop();
  return complete;
}

void Server::CloseListeners() {
  // The handlers' last messages are on their way: a short grace, and what a client does not read is cut off
  // then.
  const absl::Time deadline = absl::Now() + kCloseGrace;
  StopWatching();
  if (inference_server_ != nullptr) inference_server_->Shutdown(deadline);
  inference_server_.reset();
  if (admin_server_ != nullptr) admin_server_->Shutdown(deadline);
  admin_server_.reset();
}

void Server::SetHealth() {
  const auto phase = state_.phase();
  const auto deployment = state_.deployment();
  const bool ready = phase == ServerState::Phase::kServing && deployment->engine->Status().healthy;
  inference_server_->SetServing("", ready);
  inference_server_->SetServing("liveness", true);
  inference_server_->SetServing("readiness", ready);
  inference_server_->SetServing(kInferenceName, ready);
  if (admin_server_ == nullptr) return;
  admin_server_->SetServing("", ready);
  admin_server_->SetServing("liveness", true);
  admin_server_->SetServing("readiness", ready);
  admin_server_->SetServing(kAdminName, true);
}

void Server::Watch() {
  std::unique_lock lock(watch_mutex_);
  while (!watch_wakes_.wait_for(lock, kWatchInterval, [this] { return watch_ends_; })) {
    SetHealth();
    calls_.CancelStalled(absl::Seconds(config_.engine.stall_limit_s));
  }
}

void Server::StopWatching() {
  {
    const std::lock_guard lock(watch_mutex_);
    watch_ends_ = true;
  }
  watch_wakes_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

}  // namespace guildhall
