#include "server/grpc/grpc_listeners.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "server/grpc/admin_methods.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/inference_methods.h"
#include "server/net/listener_shares.h"

namespace guildhall {
namespace {

constexpr int64_t kSpareThreads = 64;  // for calls that are short, and to refuse others
constexpr int64_t kQueries = 256;      // open at a time
constexpr int64_t kAdminCalls = 64;    // the same
constexpr int64_t kWatchesOfConnection = 8;
constexpr int64_t kReflectionsOfConnection = 4;

ConnectionLimits Connections(const LimitsConfig& limits, int64_t in_all) {
  ConnectionLimits connections;
  connections.in_all = in_all;
  connections.per_host = OfOneHost(limits.connections_per_host, in_all);
  connections.calls = limits.streams_per_connection;
  connections.calls_of_kind.fill(limits.streams_per_connection);
  connections.calls_of_kind[IndexOf(CallKind::kWatch)] = kWatchesOfConnection;
  connections.calls_of_kind[IndexOf(CallKind::kReflection)] = kReflectionsOfConnection;
  connections.resets_per_second = limits.resets_per_second;
  return connections;
}

GrpcServerOptions Common(const ServerConfig& config) {
  GrpcServerOptions options;
  options.listener = config.server;
  options.limits = config.limits;
  return options;
}

absl::StatusOr<std::unique_ptr<Listener>> StartInference(const ServerConfig& config,
                                                         const ServedCalls& calls) {
  GrpcServerOptions options = Common(config);
  options.name = "requests";
  options.key = "server";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config.server.listen, "server.listen"));
  options.tls = config.server.tls;
  options.connections = Connections(config.limits, MostConnections(config, config.limits.connections));
  // Those beyond the limit of requests get a thread to be refused by name.
  const int64_t requests = config.limits.concurrent_requests + kSpareThreads / 2;
  options.threads = config.limits.concurrent_requests + kSpareThreads;
  options.calls.calls[IndexOf(CallKind::kGenerate)] = requests;
  options.calls.calls[IndexOf(CallKind::kQuery)] = kQueries;
  const int64_t of_host =
      OfOneHost(config.limits.concurrent_requests_per_host, config.limits.concurrent_requests);
  if (of_host < config.limits.concurrent_requests)
    options.calls.of_host[IndexOf(CallKind::kGenerate)] = of_host;
  options.calls.of_host[IndexOf(CallKind::kQuery)] = OfOneHost(0, kQueries);
  options.socket_group = config.server.socket_group;
  options.service_name = "guildhall.v1.Inference";
  options.reflection = config.server.reflection;
  options.methods = InferenceMethods(calls.state, calls.generate);
  return GrpcServer::Start(std::move(options), calls.counts.Add("requests"));
}

absl::StatusOr<std::unique_ptr<Listener>> StartAdmin(const ServerConfig& config, const ServedCalls& calls) {
  if (!config.admin.enabled) return nullptr;
  GrpcServerOptions options = Common(config);
  options.name = "administration";
  options.key = "admin";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config.admin.listen, "admin.listen"));
  options.tls = config.admin.tls;
  options.connections = Connections(config.limits, AdminConnections());
  options.threads = kAdminCalls;
  options.calls.calls[IndexOf(CallKind::kAdmin)] = kAdminCalls;
  options.socket_mode = 0600;
  options.service_name = "guildhall.v1.Admin";
  options.serves_always = true;
  options.methods = AdminMethods(calls.admin);
  options.authorize = [&admin = calls.admin](const auto& given) { return admin.Authorize(given); };
  return GrpcServer::Start(std::move(options), calls.counts.Add("administration"));
}

}  // namespace

std::vector<StartListener> GrpcListeners() {
  return {StartInference, StartAdmin};
}

}  // namespace guildhall
