// A way into the server: one address with one protocol.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/server_config.h"
#include "server/admin_calls.h"
#include "server/generate_call.h"
#include "server/listener_counts.h"
#include "server/server_state.h"

namespace guildhall {

// Thread-safe, but for the end of its life, which ends what Shutdown left.
class Listener {
 public:
  virtual ~Listener() = default;

  virtual std::string_view name() const = 0;  // for people and tests: "requests", "administration"
  virtual std::string Target() const = 0;     // what a client connects to, with the port that was chosen
  virtual std::string_view protection() const = 0;  // "mutual TLS", "TLS" or "no TLS"

  // For its health service, if its protocol has one: whether requests are served. Not before
  // the first call.
  virtual void SetReady(bool ready) = 0;
  // The same of the process itself: false asks whoever looks after it to start it again.
  virtual void SetLive(bool live) = 0;
  // Refuses new calls, lets open ones finish until `deadline`, cancels the rest and waits
  // for their handlers.
  virtual void Shutdown(absl::Time deadline) = 0;
};

// What listeners translate to; all of it outlives them.
struct ServedCalls {
  const ServerState& state;
  GenerateCalls& generate;
  const AdminCalls& admin;
  CountsOfListeners& counts;
};

// Starts one; null where the configuration wants none. Errors name the key of its address.
using StartListener = std::function<absl::StatusOr<std::unique_ptr<Listener>>(const ServerConfig& config,
                                                                              const ServedCalls& calls)>;

}  // namespace guildhall
