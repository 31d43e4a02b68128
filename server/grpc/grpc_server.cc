#include "server/grpc/grpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <unistd.h>

#include <mutex>

#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/grpc/credentials.h"

namespace guildhall {
namespace {

// gRPC ends the whole connection over metadata beyond its own limit; the one that ends the call
// alone is ours, so that its own is far above.
constexpr int kMetadataSlack = 4 << 20;

int Milliseconds(double seconds) {
  return static_cast<int>(seconds * 1000.0);
}

// Global settings of gRPC, once per process: its log goes to ours.
void InitGrpc() {
  static std::once_flag once;
  std::call_once(once, [] {
    google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*, int,
                                       const std::string& message) { Log().debug("protobuf: {}", message); });
    gpr_set_log_function([](gpr_log_func_args* args) { Log().debug("grpc: {}", args->message); });
    grpc::EnableDefaultHealthCheckService(false);
  });
}

std::vector<std::string> ServicesOf(const GrpcServerOptions& options) {
  return {options.service_name, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
          "grpc.reflection.v1alpha.ServerReflection"};
}

}  // namespace

GrpcServer::GrpcServer(GrpcServerOptions options, ListenerCounts& counts)
    : options_(std::move(options)),
      connections_(options_.connections, counts),
      health_(options_.health_watches),
      reflection_(ServicesOf(options_)),
      door_(ForDoor(), connections_) {}

DoorOptions GrpcServer::ForDoor() {
  DoorOptions door;
  door.methods = options_.methods;
  const auto add = [&](std::vector<GrpcMethod> methods) {
    for (GrpcMethod& method : methods) door.methods.push_back(std::move(method));
  };
  add(health_.Methods());
  if (options_.reflection) add(reflection_.Methods());
  door.authorize = options_.authorize;
  door.metadata_bytes = options_.limits.metadata_bytes;
  door.waiting_calls = options_.waiting_calls;
  door.conversations = options_.conversations;
  door.conversation = options_.conversation;
  door.request_timeout_s = options_.listener.request_timeout_s;
  door.calls = options_.calls;
  door.threads = options_.threads;
  return door;
}

void GrpcServer::SetArguments(grpc::ServerBuilder& builder) const {
  const KeepaliveConfig& keepalive = options_.listener.keepalive;
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(keepalive.time_s));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(keepalive.timeout_s));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A long prefill sends nothing for minutes: pings of both sides are no misbehaviour meanwhile.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(keepalive.min_ping_interval_s));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(options_.listener.idle_timeout_s));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options_.limits.streams_per_connection));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE,
                             static_cast<int>(options_.limits.metadata_bytes) + kMetadataSlack);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(options_.listener.handshake_timeout_s));
  // Nothing is inflated: gRPC would do it without a bound. What is compressed is refused.
  for (int algorithm = GRPC_COMPRESS_DEFLATE; algorithm < GRPC_COMPRESS_ALGORITHMS_COUNT; ++algorithm) {
    builder.SetCompressionAlgorithmSupportStatus(static_cast<grpc_compression_algorithm>(algorithm), false);
  }
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.SetMaxReceiveMessageSize(static_cast<int>(options_.limits.message_bytes));
  grpc::ResourceQuota quota(options_.key);
  quota.Resize(static_cast<size_t>(options_.listener.memory_quota_bytes));
  builder.SetResourceQuota(quota);
}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(GrpcServerOptions options,
                                                              ListenerCounts& counts) {
  InitGrpc();
  std::unique_ptr<GrpcServer> result(new GrpcServer(std::move(options), counts));
  const GrpcServerOptions& served = result->options_;
  GH_ASSIGN_OR_RETURN(const auto credentials, ListenerCredentials(served.tls, served.key));
  ListenOptions listen;
  listen.address = served.address;
  listen.key = served.key + ".listen";
  listen.user_timeout_ms = Milliseconds(served.listener.keepalive.timeout_s);
  listen.socket_mode = served.socket_mode;
  listen.socket_group = served.socket_group;
  GH_ASSIGN_OR_RETURN(ListenSockets sockets, Listen(listen));
  result->port_ = sockets.port;

  grpc::ServerBuilder builder;
  result->SetArguments(builder);
  using Type = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  result->hand_over_ = builder.experimental().AddExternalConnectionAcceptor(Type::FROM_FD, credentials);
  builder.RegisterCallbackGenericService(&result->door_);
  result->server_ = builder.BuildAndStart();
  if (result->server_ == nullptr) {
    return absl::FailedPreconditionError(
        StrCat(listen.key, ": gRPC does not start; log.level debug says why"));
  }
  // Nothing is served before somebody says so.
  result->SetLive(true);
  result->SetReady(false);
  const auto hand_over = [raw = result.get()](int fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd;
    raw->hand_over_->HandleNewConnection(&connection);
  };
  GH_ASSIGN_OR_RETURN(result->acceptor_,
                      Acceptor::Start(std::move(sockets), result->connections_, counts, hand_over,
                                      [raw = result.get()] { raw->door_.Tick(); }));
  return result;
}

GrpcServer::~GrpcServer() {
  Shutdown(absl::Now());
}

std::string GrpcServer::Target() const {
  ListenAddress address = options_.address;
  if (!address.unix_socket()) address.port = port_;
  return address.Text();
}

std::string_view GrpcServer::protection() const {
  return options_.tls.mutual() ? "mutual TLS" : options_.tls.enabled() ? "TLS" : "no TLS";
}

void GrpcServer::SetReady(bool ready) {
  health_.Set("", ready);
  health_.Set("readiness", ready);
  health_.Set(options_.service_name, ready || options_.serves_always);
}

// gRPC cancels what comes to it once it shuts down, which is why nothing may come by then.
void GrpcServer::Shutdown(absl::Time deadline) {
  if (server_ == nullptr) return;
  // Before the socket is closed: another server may have one of its own there afterwards.
  if (options_.address.unix_socket()) unlink(options_.address.unix_path.c_str());
  if (acceptor_ != nullptr) acceptor_->StopListening();
  connections_.Close();
  health_.Close();
  door_.Close();
  connections_.AwaitEnd(deadline);
  // It would leak what the acceptor hands over later.
  acceptor_.reset();
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  server_.reset();
}

}  // namespace guildhall
