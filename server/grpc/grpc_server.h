// One gRPC listener with the hygiene that every listener of ours has.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/listen_address.h"
#include "config/server_config.h"
#include "server/grpc/reflection_service.h"
#include "server/listener.h"

namespace guildhall {

struct GrpcServerOptions {
  std::string name;  // of the listener
  std::string key;   // of the configuration, for messages: "server.listen"
  ListenAddress address;
  TlsConfig tls;
  ListenerConfig listener;  // keepalive, handshake, memory quota
  LimitsConfig limits;
  int64_t threads = 64;         // most calls that are served at a time
  bool private_socket = false;  // a Unix socket that only the owner may connect to
  std::string service_name;     // in full: "guildhall.v1.Inference"
  bool serves_always = false;   // the service is healthy also while no request is served
};

// Serves one service, health (grpc.health.v1) and both versions of reflection. "liveness" says that the
// process lives; "", "readiness" and the service's name say that requests are served.
class GrpcServer final : public Listener {
 public:
  // FAILED_PRECONDITION "port N is in use" and the like; INVALID_ARGUMENT for TLS files that cannot be read.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(const GrpcServerOptions& options,
                                                           std::unique_ptr<grpc::Service> service);
  ~GrpcServer() override;  // shuts down at once

  std::string_view name() const override { return options_.name; }
  std::string Target() const override;
  std::string_view protection() const override;
  void SetReady(bool ready) override;
  void Shutdown(absl::Time deadline) override;

 private:
  GrpcServer(const GrpcServerOptions& options, std::unique_ptr<grpc::Service> service)
      : options_(options), service_(std::move(service)) {}

  const GrpcServerOptions options_;
  const std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<ReflectionService> reflection_;
  int port_ = 0;  // that was chosen; 0 for Unix sockets
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace guildhall
