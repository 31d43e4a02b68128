// /tokenize, /detokenize and /tokenizer_info, in vLLM's form.
#pragma once

#include <vector>

#include "server/http/http_server.h"
#include "server/server_state.h"

namespace guildhall {

// `state` outlives the calls.
std::vector<HttpRoute> TokenRoutes(const ServerState& state, const HttpConfig& http);

}  // namespace guildhall
