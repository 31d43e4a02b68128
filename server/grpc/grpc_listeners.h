// The listeners that speak gRPC.
#pragma once

#include <vector>

#include "server/listener.h"

namespace guildhall {

// "requests" at server.listen and "administration" at admin.listen, if that is enabled. Errors as
// GrpcServer::Start.
std::vector<StartListener> GrpcListeners();

}  // namespace guildhall
