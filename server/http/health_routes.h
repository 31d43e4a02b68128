// /health, /livez, /readyz, /ping and /version.
#pragma once

#include <vector>

#include "server/http/http_server.h"

namespace guildhall {

// `health` outlives the calls.
std::vector<HttpRoute> HealthRoutes(const HttpHealth& health);

}  // namespace guildhall
