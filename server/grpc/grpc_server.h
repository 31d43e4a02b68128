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
#include "server/grpc/door.h"
#include "server/grpc/health.h"
#include "server/grpc/reflection.h"
#include "server/listener.h"
#include "server/net/acceptor.h"

namespace guildhall {

struct GrpcServerOptions {
  std::string name;  // of the listener
  std::string key;   // of the configuration, for messages: "server"
  ListenAddress address;
  TlsConfig tls;
  ListenerConfig listener;  // keepalive, handshake, memory quota, timeouts
  LimitsConfig limits;
  ConnectionLimits connections;
  CallLimits::Options calls;
  int64_t threads = 64;
  size_t health_watches = 1024;                     // open at a time
  size_t waiting_calls = 4096;                      // whose message has not come
  size_t conversations = 32;                        // reflection streams
  absl::Duration conversation = absl::Seconds(30);  // the most that one may take
  unsigned socket_mode = 0660;                      // of a Unix socket
  std::string socket_group;
  std::string service_name;    // in full: "guildhall.v1.Inference"
  bool serves_always = false;  // the service is healthy also while no request is served
  bool reflection = true;
  std::vector<GrpcMethod> methods;  // of the service
  Authorize authorize;              // null: everybody
};

// Serves one service, health (grpc.health.v1) and both versions of reflection. "liveness" says that the
// process lives; "", "readiness" and the service's name say that requests are served.
class GrpcServer final : public Listener {
 public:
  // FAILED_PRECONDITION "port N is in use" and the like; INVALID_ARGUMENT for TLS files that cannot
  // be read. The counts outlive it.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(GrpcServerOptions options, ListenerCounts& counts);
  ~GrpcServer() override;  // shuts down at once

  std::string_view name() const override { return options_.name; }
  std::string Target() const override;
  std::string_view protection() const override;
  void SetReady(bool ready) override;
  void SetLive(bool live) override { health_.Set("liveness", live); }
  void Shutdown(absl::Time deadline) override;

 private:
  GrpcServer(GrpcServerOptions options, ListenerCounts& counts);
  DoorOptions ForDoor();
  void SetArguments(grpc::ServerBuilder& builder) const;

  const GrpcServerOptions options_;
  ConnectionTable connections_;
  Health health_;
  const Reflection reflection_;
  Door door_;
  int port_ = 0;  // that was chosen; 0 for Unix sockets
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> hand_over_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace guildhall
