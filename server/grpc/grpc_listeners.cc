#include "server/grpc/grpc_listeners.h"

#include <memory>
#include <utility>

#include "base/status.h"
#include "server/grpc/admin_service.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/inference_service.h"

namespace guildhall {
namespace {

constexpr int64_t kSpareThreads = 64;  // for calls that are short: status, health, tokenizing

absl::StatusOr<std::unique_ptr<Listener>> StartInference(const ServerConfig& config,
                                                         const ServedCalls& calls) {
  GrpcServerOptions options;
  options.name = "requests";
  options.key = "server.listen";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config.server.listen, options.key));
  options.tls = config.server.tls;
  options.listener = config.server;
  options.limits = config.limits;
  options.threads = config.limits.concurrent_requests + kSpareThreads;
  options.service_name = v1::Inference::service_full_name();
  return GrpcServer::Start(options, std::make_unique<InferenceService>(calls.state, calls.generate));
}

absl::StatusOr<std::unique_ptr<Listener>> StartAdmin(const ServerConfig& config, const ServedCalls& calls) {
  if (!config.admin.enabled) return nullptr;
  GrpcServerOptions options;
  options.name = "administration";
  options.key = "admin.listen";
  GH_ASSIGN_OR_RETURN(options.address, ParseListenAddress(config.admin.listen, options.key));
  options.tls = config.admin.tls;
  options.listener = config.server;
  options.limits = config.limits;
  options.private_socket = true;
  options.service_name = v1::Admin::service_full_name();
  options.serves_always = true;
  return GrpcServer::Start(options, std::make_unique<AdminService>(calls.admin));
}

}  // namespace

std::vector<StartListener> GrpcListeners() {
  return {StartInference, StartAdmin};
}

}  // namespace guildhall
