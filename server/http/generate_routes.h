// /v1/completions and /v1/chat/completions.
#pragma once

#include <vector>

#include "server/generate_call.h"
#include "server/http/http_server.h"
#include "server/server_state.h"

namespace guildhall {

// What it is given by reference outlives the calls.
std::vector<HttpRoute> GenerateRoutes(const ServerState& state, GenerateCalls& generate, CallThreads& threads,
                                      const HttpConfig& http);

}  // namespace guildhall
