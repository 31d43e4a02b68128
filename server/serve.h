// From a configuration to a running server: what the command "serve" does.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "config/server_config.h"
#include "model/decoder.h"
#include "server/listener.h"

namespace guildhall {

// Opens the listeners, loads the model folder, serves, and returns after a drain (SIGTERM, SIGINT,
// Admin.Drain): OK also where the drain limit cut requests off. A second signal ends the process at once.
// Logging is set up by the caller. `progress` is told how far the load is. Must be called before the process
// has other threads.
//
// Errors name the thing and the cure: FAILED_PRECONDITION (port in use, back end that is not built, a folder
// that is not served), INVALID_ARGUMENT (configuration), RESOURCE_EXHAUSTED with the memory arithmetic.
absl::Status Serve(const ServerConfig& config, std::span<const StartListener> listeners,
                   const ProgressFunction& progress);

}  // namespace guildhall
