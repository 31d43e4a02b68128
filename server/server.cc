#include "server/server.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr std::chrono::milliseconds kWatchInterval{100};
constexpr absl::Duration kCloseGrace = absl::Seconds(2);
constexpr size_t kMaxTokenBytes = 4096;

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

}  // namespace

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
  const ServedCalls calls{server->state_, server->generate_, server->admin_, server->counts_};
  for (const StartListener& start : listeners) {
    GH_ASSIGN_OR_RETURN(std::unique_ptr<Listener> listener, start(server->config_, calls));
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

bool Server::RunUntilDrained() {
  state_.WaitForDrain(absl::InfiniteFuture());
  SetHealth();
  const absl::Duration limit = state_.drain_limit().value_or(absl::Seconds(config_.server.drain_limit_s));
  Log().info("draining: {} requests open, limit {}", streams_.open(), absl::FormatDuration(limit));
  bool complete = true;
  if (const auto deployment = state_.deployment()) complete = deployment->engine->Drain(limit);
  CloseListeners();
  if (const auto deployment = state_.deployment()) deployment->engine->Stop();
  return complete;
}

void Server::CloseListeners() {
  // The handlers' last messages are on their way: a short grace, and what a client does not read is
  // cut off then.
  const absl::Time deadline = absl::Now() + kCloseGrace;
  StopWatching();
  for (const auto& listener : listeners_) listener->Shutdown(deadline);
  listeners_.clear();
}

void Server::SetHealth() {
  const bool serving = state_.phase() == ServerState::Phase::kServing;
  const bool ready = serving && state_.deployment()->engine->Status().healthy;
  for (const auto& listener : listeners_) listener->SetReady(ready);
}

void Server::CheckDevice() {
  if (config_.on_device_error != "exit" || state_.phase() != ServerState::Phase::kServing) return;
  if (state_.deployment()->engine->Status().device_lost) state_.BeginDrain(std::nullopt);
}

void Server::Watch() {
  std::unique_lock lock(watch_mutex_);
  while (!watch_wakes_.wait_for(lock, kWatchInterval, [this] { return watch_ends_; })) {
    SetHealth();
    CheckDevice();
    streams_.CancelStalled(absl::Seconds(config_.engine.stall_limit_s));
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
