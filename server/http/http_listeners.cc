#include "server/http/http_listeners.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "server/http/generate_routes.h"
#include "server/http/health_routes.h"
#include "server/http/http_server.h"
#include "server/http/model_routes.h"
#include "server/http/token_routes.h"
#include "server/net/listener_shares.h"

namespace guildhall {
namespace {

constexpr int64_t kSpareThreads = 64;  // for calls that are short, and to refuse others
constexpr int64_t kQueries = 256;      // open at a time

void SetLimits(const ServerConfig& config, HttpServerOptions& options) {
  const LimitsConfig& limits = config.limits;
  ConnectionLimits& connections = options.connections;
  connections.in_all = MostConnections(config, config.http.connections);
  connections.per_host = OfOneHost(config.http.connections_per_host, connections.in_all);
  connections.calls = limits.streams_per_connection;
  connections.calls_of_kind.fill(limits.streams_per_connection);
  connections.resets_per_second = limits.resets_per_second;
  // Those beyond the limit of requests get a thread to be refused by name.
  CallLimits::Options& calls = options.calls;
  calls.calls[IndexOf(CallKind::kGenerate)] = limits.concurrent_requests + kSpareThreads / 2;
  calls.calls[IndexOf(CallKind::kQuery)] = kQueries;
  const int64_t of_host = OfOneHost(limits.concurrent_requests_per_host, limits.concurrent_requests);
  if (of_host < limits.concurrent_requests) calls.of_host[IndexOf(CallKind::kGenerate)] = of_host;
  calls.of_host[IndexOf(CallKind::kQuery)] = OfOneHost(0, kQueries);
  options.threads = limits.concurrent_requests + kSpareThreads;
}

void Append(std::vector<HttpRoute> routes, std::vector<HttpRoute>& to) {
  for (HttpRoute& route : routes) to.push_back(std::move(route));
}

absl::StatusOr<std::unique_ptr<Listener>> StartHttp(const ServerConfig& config, const ServedCalls& calls) {
  if (config.http.listen.empty()) return nullptr;
  HttpServerOptions options;
  options.name = "http";
  options.key = "http";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config.http.listen, "http.listen"));
  options.http = config.http;
  options.stall_s = config.engine.stall_limit_s;
  options.ping_s = config.server.keepalive.time_s;
  SetLimits(config, options);
  const auto make_routes = [&](const HttpHealth& health, CallThreads& threads) {
    std::vector<HttpRoute> routes = HealthRoutes(health);
    Append(ModelRoutes(calls.state, config.http), routes);
    Append(TokenRoutes(calls.state, config.http), routes);
    Append(GenerateRoutes(calls.state, calls.generate, threads, config.http), routes);
    return routes;
  };
  return HttpServer::Start(std::move(options), make_routes, calls.counts.Add("http"));
}

}  // namespace

std::vector<StartListener> HttpListeners() {
  return {StartHttp};
}

}  // namespace guildhall
