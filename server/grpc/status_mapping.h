// absl::Status to gRPC's: the one place where an error becomes what gRPC sends.
#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace guildhall {

// Codes map one to one; text and details are those of RichStatus, the details in the trailer
// "grpc-status-details-bin".
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace guildhall
