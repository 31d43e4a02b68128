// TLS of a listener.
#pragma once

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "config/server_config.h"

namespace guildhall {

// INVALID_ARGUMENT for files that cannot be read, are no PEM, or do not belong together:
// gRPC would find out when the first client comes. `key` of the listener's configuration,
// for messages: "server".
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ListenerCredentials(const TlsConfig& tls,
                                                                             std::string_view key);

}  // namespace guildhall
