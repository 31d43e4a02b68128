#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_name.h"

namespace guildhall {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{100};
constexpr absl::Duration kCloseGrace = absl::Seconds(2);
constexpr absl::Duration kShutdownGrace = absl::Seconds(5);  // after the drain's limit
constexpr absl::Duration kReturnInterval = absl::Seconds(5);
constexpr size_t kMaxTokenBytes = 4096;

}  // namespace

absl::StatusOr<std::string> AdminToken(const AdminConfig& admin) {
  if (admin.token_file.empty()) return admin.token;
  GH_ASSIGN_OR_RETURN(std::string token, ReadSmallFile(admin.token_file, kMaxTokenBytes));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty()) return absl::InvalidArgumentError("admin.token_file: the file is empty");
  if (token.find_first_of("\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        "admin.token_file: expected the token on one line, found several lines");
  }
  return token;
}

Server::Server(const ServerConfig& config, std::string admin_token)
    : config_(config),
      streams_(config.limits.concurrent_requests),
      generate_(state_, streams_),
      admin_(state_, streams_, counts_, std::move(admin_token), absl::Seconds(config.server.drain_limit_s)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerConfig& config,
                                                      std::span<const StartListener> listeners) {
  std::string token;
  if (config.admin.enabled) {
    GH_ASSIGN_OR_RETURN(token, AdminToken(config.admin));
  }
  std::unique_ptr<Server> server(new Server(config, std::move(token)));
  server->state_.OnDrain([raw = server.get()] { raw->SetNotReady(); });
  const ServedCalls calls{server->state_, server->generate_, server->admin_, server->counts_};
  for (const StartListener& start : listeners) {
    GH_ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener, start(server->config_, calls));
    const std::lock_guard lock(server->health_mutex_);  // it takes calls already
    if (listener != nullptr) server->listeners_.push_back(std::move(listener));
  }
  server->SetHealth();
  server->watcher_ = std::thread([raw = server.get()] { raw->Watch(); });
  return server;
}

const Listener* Server::listener(std::string_view name) const {
  for (const auto& listener : listeners_) {
    if (listener->name() == name) return listener.get();
  }
  return nullptr;
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

bool Server::RunUntilDrained(ShutdownWatchdog* given) {
  state_.WaitForDrain(absl::InfiniteFuture());
  const absl::Duration limit = state_.drain_limit().value_or(absl::Seconds(config_.server.drain_limit_s));
  Log().info("draining: {} requests open, limit {}", streams_.open(), absl::FormatDuration(limit));
  ShutdownWatchdog unarmed;
  ShutdownWatchdog& watchdog = given != nullptr ? *given : unarmed;
  if (given != nullptr) watchdog.Arm(limit + kShutdownGrace);
  const bool complete = EndCalls(limit, watchdog);
  watchdog.Enter("calls that do not return to their listeners");
  CloseListeners();
  watchdog.Enter("the engine's last step");
  if (const auto deployment = state_.deployment()) deployment->engine->Stop();
  return complete;
}

// Calls of every stage end by themselves within the limit, and are cut off then: those that the engine has by
// it, the others because they see that they are over.
bool Server::EndCalls(absl::Duration limit, ShutdownWatchdog& watchdog) {
  const absl::Time deadline = absl::Now() + limit;
  watchdog.Enter("open requests");
  const bool complete = streams_.WaitUntilEmpty(deadline);
  if (!complete) streams_.CutOff();
  const auto deployment = state_.deployment();
  if (deployment == nullptr) return complete;
  watchdog.Enter("the engine's step");
  return deployment->engine->Drain(complete ? std::max(deadline - absl::Now(), absl::ZeroDuration())
                                            : absl::ZeroDuration()) &&
         complete;
}

void Server::CloseListeners() {
  // The handlers' last messages are on their way: a short grace, and what a client does not read is
  // cut off then.
  const absl::Time deadline = absl::Now() + kCloseGrace;
  StopWatching();
  std::vector<std::unique_ptr<Listener>> closing;
  {
    const std::lock_guard lock(health_mutex_);
    closing.swap(listeners_);
  }
  for (const auto& listener : closing) listener->Shutdown(deadline);
}

// Before anybody sees that the server drains.
void Server::SetNotReady() {
  const std::lock_guard lock(health_mutex_);
  drains_ = true;
  for (const auto& listener : listeners_) listener->SetReady(false);
}

void Server::SetHealth() {
  const std::lock_guard lock(health_mutex_);
  const auto deployment = state_.deployment();
  const EngineStatus engine = deployment == nullptr ? EngineStatus() : deployment->engine->Status();
  SetLive(engine);
  if (drains_) return;
  const bool ready = state_.phase() == ServerState::Phase::kServing && engine.healthy;
  for (const auto& listener : listeners_) listener->SetReady(ready);
}

// A drain does not end a hung step either.
void Server::SetLive(const EngineStatus& engine) {
  if (engine.hung == hung_) return;
  hung_ = engine.hung;
  if (hung_) {
    Log().error("a step has run for {} (engine.hung_step_s): liveness is off",
                absl::FormatDuration(engine.turn));
  } else {
    Log().info("the step that hung has ended: liveness is on again");
  }
  for (const auto& listener : listeners_) listener->SetLive(!hung_);
}

void Server::CheckDevice() {
  if (config_.on_device_error != "exit" || state_.phase() != ServerState::Phase::kServing) return;
  if (state_.deployment()->engine->Status().device_lost) state_.BeginDrain(std::nullopt);
}

// After a peak of requests that has passed.
void Server::ReturnMemory() {
  const absl::Time now = absl::Now();
  if (now < next_return_) return;
  next_return_ = now + kReturnInterval;
  returner_.Look();
}

void Server::Watch() {
  NameThread("server-watch");
  std::unique_lock lock(watch_mutex_);
  while (!watch_wakes_.wait_for(lock, kWatchInterval, [this] { return watch_ends_; })) {
    SetHealth();
    CheckDevice();
    streams_.CancelStalled(absl::Seconds(config_.engine.stall_limit_s));
    ReturnMemory();
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
