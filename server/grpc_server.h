// One gRPC listener with the hygiene that every listener of ours has.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/listen_address.h"
#include "config/server_config.h"
#include "server/reflection_service.h"

namespace guildhall {

struct GrpcServerOptions {
  std::string key;  // of the configuration, for messages: "server.listen"
  ListenAddress address;
  TlsConfig tls;
  ListenerConfig listener;  // keepalive, handshake, memory quota
  LimitsConfig limits;
  int64_t threads = 64;         // most calls that are served at a time
  bool private_socket = false;  // a Unix socket that only the owner may connect to
};

// Serves `services`, health (grpc.health.v1) and both versions of reflection. The services outlive it.
class GrpcServer {
 public:
  // FAILED_PRECONDITION "port N is in use" and the like; INVALID_ARGUMENT for TLS files that cannot be read.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           const std::vector<grpc::Service*>& services,
                                                           const std::vector<std::string>& service_names);
  ~GrpcServer();

  int port() const { return port_; }  // 0 for Unix sockets
  // What a client connects to, with the port that was chosen.
  std::string Target() const;

  void SetServing(const std::string& service, bool serving);
  // Refuses new calls, lets open ones finish until `deadline`, cancels the rest and waits for their handlers.
  void Shutdown(absl::Time deadline);

 private:
  GrpcServer() = default;

  ListenAddress address_;
  int port_ = 0;
  std::unique_ptr<ReflectionService> reflection_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace guildhall
