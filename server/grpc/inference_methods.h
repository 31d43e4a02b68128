// guildhall.v1.Inference over gRPC: translates, and nothing else.
#pragma once

#include <vector>

#include "server/generate_call.h"
#include "server/grpc/method.h"
#include "server/server_state.h"

namespace guildhall {

// What they are given outlives them.
std::vector<GrpcMethod> InferenceMethods(const ServerState& state, GenerateCalls& generate);

}  // namespace guildhall
