// guildhall.v1.Admin over gRPC: translates, and nothing else.
#pragma once

#include <vector>

#include "server/admin_calls.h"
#include "server/grpc/method.h"

namespace guildhall {

// The calls outlive them.
std::vector<GrpcMethod> AdminMethods(const AdminCalls& calls);

}  // namespace guildhall
