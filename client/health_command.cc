// guildhall healthcheck: exit codes as grpc_health_probe has them, for containers and orchestrators.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace guildhall {
namespace {

constexpr int kServing = 0, kNotReached = 2, kCallFailed = 3, kNotServing = 4;

int CheckHealth(const Connection& connection, const std::string& service) {
  auto stub = grpc::health::v1::Health::NewStub(OpenChannel(connection));
  grpc::ClientContext context;
  PrepareContext(connection, context);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status = stub->Check(&context, request, &response);
  if (!status.ok()) {
    std::fprintf(stderr, "guildhall healthcheck: %s\n", ErrorText(status, connection.server).c_str());
    return ErrorExitCode(status) == 2 || status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED
               ? kNotReached
               : kCallFailed;
  }
  const bool serving = response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  std::printf("%s\n", grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status()).c_str());
  return serving ? kServing : kNotServing;
}

}  // namespace

void AddHealthCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "healthcheck",
      "ask a server's health: exit 0 serving, 1 arguments, 2 not reached, 3 call failed, 4 not serving");
  auto connection = std::make_shared<Connection>();
  auto service = std::make_shared<std::string>();
  AddConnectionFlags(*command, *connection, "127.0.0.1:50051");
  connection->timeout_seconds = 5.0;
  command->add_option("--service", *service, "\"\", liveness, readiness or a service's full name");
  command->callback([connection, service, &action] {
    action = [connection, service] { return CheckHealth(*connection, *service); };
  });
}

}  // namespace guildhall
