#include "server/grpc/grpc_server.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/log.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "server/grpc/parse_errors.h"

namespace guildhall {
namespace {

constexpr size_t kMaxPemBytes = size_t{1} << 20;

int Milliseconds(double seconds) {
  return static_cast<int>(seconds * 1000.0);
}

// Global settings of gRPC, once per process: health and reflection come with every server, its log goes to
// ours.
void InitGrpc() {
  static std::once_flag once;
  std::call_once(once, [] {
    google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*, int,
                                       const std::string& message) { Log().debug("protobuf: {}", message); });
    gpr_set_log_function([](gpr_log_func_args* args) { Log().debug("grpc: {}", args->message); });
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  });
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const TlsConfig& tls) {
  if (!tls.enabled()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(tls.mutual()
                                                ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  GH_ASSIGN_OR_RETURN(pair.private_key, ReadSmallFile(tls.key, kMaxPemBytes));
  GH_ASSIGN_OR_RETURN(pair.cert_chain, ReadSmallFile(tls.certificate, kMaxPemBytes));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (tls.mutual()) {
    GH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadSmallFile(tls.client_ca, kMaxPemBytes));
  }
  return grpc::SslServerCredentials(options);
}

void SetArguments(const GrpcServerOptions& options, grpc::ServerBuilder& builder) {
  const KeepaliveConfig& keepalive = options.listener.keepalive;
  // Without this a second server starts silently on the same port and takes half of the connections.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(keepalive.time_s));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(keepalive.timeout_s));
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // A long prefill sends nothing for minutes: pings of both sides are no misbehaviour meanwhile.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             Milliseconds(keepalive.min_ping_interval_s));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(options.limits.streams_per_connection));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(options.limits.metadata_bytes));
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                             Milliseconds(options.listener.handshake_timeout_s));
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.limits.message_bytes));
  grpc::ResourceQuota quota(options.key);
  quota.Resize(static_cast<size_t>(options.listener.memory_quota_bytes));
  quota.SetMaxThreads(static_cast<int>(options.threads));
  builder.SetResourceQuota(quota);
}

// gRPC takes over a socket file whoever listens on it; so ask first.
absl::Status CheckUnixSocket(const GrpcServerOptions& options) {
  const std::string& path = options.address.unix_path;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::OkStatus();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const bool alive = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  if (!alive) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat(options.key, ": the socket ", path, " is in use by another process"));
}

// BuildAndStart only says that it failed: bind once more to find out why.
absl::Status WhyNotBound(const GrpcServerOptions& options) {
  const ListenAddress& address = options.address;
  if (address.unix_socket()) {
    return absl::FailedPreconditionError(StrCat(options.key, ": cannot create the socket ", address.unix_path,
                                                "; does its folder exist, and may this user write there?"));
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  if (const int code =
          getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
      code != 0) {
    return absl::InvalidArgumentError(
        StrCat(options.key, ": cannot resolve ", address.host, ": ", gai_strerror(code)));
  }
  int error = 0;
  for (const addrinfo* at = found; at != nullptr && error == 0; at = at->ai_next) {
    const int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
    if (fd < 0) continue;
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, 1) != 0) error = errno;
    close(fd);
  }
  freeaddrinfo(found);
  if (error == EADDRINUSE) {
    return absl::FailedPreconditionError(
        StrCat(options.key, ": port ", address.port, " is in use by another process; choose another port"));
  }
  return absl::FailedPreconditionError(StrCat(options.key, ": cannot listen on ", address.Text(), ": ",
                                              error == 0 ? "gRPC refused it" : std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              std::unique_ptr<grpc::Service> service) {
  InitGrpc();
  if (options.address.unix_socket()) GH_RETURN_IF_ERROR(CheckUnixSocket(options));
  std::unique_ptr<GrpcServer> result(new GrpcServer(options, std::move(service)));
  result->reflection_ = std::make_unique<ReflectionService>(std::vector<std::string>{
      options.service_name, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection"});

  grpc::ServerBuilder builder;
  SetArguments(options, builder);
  GH_ASSIGN_OR_RETURN(const auto credentials, Credentials(options.tls));
  builder.AddListeningPort(options.address.Text(), credentials, &result->port_);
  builder.RegisterService(result->service_.get());
  builder.RegisterService(result->reflection_.get());
  builder.experimental().SetInterceptorCreators(ParseErrorInterceptors());
  result->server_ = builder.BuildAndStart();
  if (result->server_ == nullptr || result->port_ == 0) return WhyNotBound(options);
  if (options.private_socket && options.address.unix_socket()) {
    chmod(options.address.unix_path.c_str(), S_IRUSR | S_IWUSR);
  }
  // Nothing is served before somebody says so.
  result->server_->GetHealthCheckService()->SetServingStatus("", false);
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
  grpc::HealthCheckServiceInterface& health = *server_->GetHealthCheckService();
  health.SetServingStatus("", ready);
  health.SetServingStatus("liveness", true);
  health.SetServingStatus("readiness", ready);
  health.SetServingStatus(options_.service_name, ready || options_.serves_always);
}

void GrpcServer::Shutdown(absl::Time deadline) {
  if (server_ == nullptr) return;
  server_->Shutdown(absl::ToChronoTime(deadline));
  server_->Wait();
  server_.reset();
  if (options_.address.unix_socket()) unlink(options_.address.unix_path.c_str());
}

}  // namespace guildhall
