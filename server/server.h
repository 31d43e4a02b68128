// The server as a whole: its listeners, the calls behind them, and the way from loading over serving to
// drained.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/heap.h"
#include "config/server_config.h"
#include "server/admin_calls.h"
#include "server/deployment.h"
#include "server/generate_call.h"
#include "server/listener.h"
#include "server/listener_counts.h"
#include "server/open_streams.h"
#include "server/server_state.h"
#include "server/shutdown_watchdog.h"

namespace guildhall {

// Of the configuration, or of the file that it names. Errors name the key or the file.
absl::StatusOr<std::string> AdminToken(const AdminConfig& admin);

// Thread-safe after Start. Its listeners are ready while requests are served: not while loading or
// draining, nor after repeated numeric failures, nor when the device is lost.
class Server {
 public:
  // Opens the listeners in the state "loading". The error of the first that cannot be opened, or of an
  // unreadable token file.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                                       std::span<const StartListener> listeners);
  ~Server();  // shuts down at once

  void Publish(std::shared_ptr<const Deployment> deployment);
  void BeginDrain() { state_.BeginDrain(std::nullopt); }

  // Blocks until a drain is asked for (BeginDrain or Admin.Drain) or the device is lost (on_device_error:
  // exit), lets open requests end within the limit, closes the listeners and stops the engine. True: all had
  // ended by themselves. `watchdog`, of a process that has nothing else to do, is armed when the drain begins
  // and told what is waited for; null: the end may take as long as it will.
  bool RunUntilDrained(ShutdownWatchdog* watchdog = nullptr);

  std::span<const std::unique_ptr<Listener>> listeners() const { return listeners_; }
  // Null where there is none of that name. Not beside RunUntilDrained, which ends them.
  const Listener* listener(std::string_view name) const;
  int64_t open_streams() const { return streams_.open(); }
  const ServerState& state() const { return state_; }

 private:
  Server(const ServerConfig& config, std::string admin_token);
  void Watch();
  void CheckDevice();
  void ReturnMemory();
  void SetHealth();
  void SetLive(const EngineStatus& engine);
  void SetNotReady();
  void StopWatching();
  void CloseListeners();
  bool EndCalls(absl::Duration limit, ShutdownWatchdog& watchdog);

  const ServerConfig config_;
  ServerState state_;
  OpenStreams streams_;
  GenerateCalls generate_;
  CountsOfListeners counts_;
  const AdminCalls admin_;
  std::mutex health_mutex_;  // what listeners are told is in the order of what it follows from
  bool drains_ = false;
  bool hung_ = false;  // the engine's step, when it was looked at last
  std::vector<std::unique_ptr<Listener>> listeners_;

  std::mutex watch_mutex_;
  std::condition_variable watch_wakes_;
  bool watch_ends_ = false;
  MemoryReturner returner_;                        // the watcher's
  absl::Time next_return_ = absl::InfinitePast();  // likewise
  std::thread watcher_;                            // health, and readers that have stalled
};

}  // namespace guildhall
