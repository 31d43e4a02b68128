// guildhall tasks: what a server can be asked for.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {
namespace {

int ListTasks(const Connection& connection) {
  auto stub = v1::Inference::NewStub(OpenChannel(connection));
  grpc::ClientContext context;
  PrepareContext(connection, context);
  v1::ListTasksResponse response;
  const grpc::Status status = stub->ListTasks(&context, {}, &response);
  if (!status.ok()) {
    std::fprintf(stderr, "guildhall tasks: %s\n", ErrorText(status, connection.server).c_str());
    return ErrorExitCode(status);
  }
  std::printf("%-16s %-10s %-8s %s\n", "TASK", "ADAPTER", "CHAT", "DESCRIPTION");
  for (const v1::TaskInfo& task : response.tasks()) {
    std::printf("%-16s %-10s %-8s %s\n", task.id().empty() ? "\"\"" : task.id().c_str(),
                task.adapter().empty() ? "-" : task.adapter().c_str(),
                task.has_chat_template() ? "yes" : "no", task.description().c_str());
  }
  return 0;
}

}  // namespace

void AddTasksCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("tasks", "list the tasks of a running server");
  auto connection = std::make_shared<Connection>();
  AddConnectionFlags(*command, *connection, "127.0.0.1:50051");
  command->callback([connection, &action] { action = [connection] { return ListTasks(*connection); }; });
}

}  // namespace guildhall
