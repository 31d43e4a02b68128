// guildhall tasks list|put|delete: what a server can be asked for.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "client/adapter_text.h"
#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "client/table.h"
#include "client/task_put.h"
#include "guildhall/v1/admin.grpc.pb.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {
namespace {

struct ListFlags {
  Connection connection;
  bool json = false;
};

int Failed(const char* what, const grpc::Status& status, const Connection& connection) {
  std::fprintf(stderr, "guildhall tasks %s: %s\n", what, ErrorText(status, connection.server).c_str());
  return ErrorExitCode(status);
}

int ListTasks(const ListFlags& flags) {
  auto stub = v1::Inference::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  v1::ListTasksResponse response;
  const grpc::Status status = stub->ListTasks(&context, {}, &response);
  if (!status.ok()) return Failed("list", status, flags.connection);
  if (flags.json) return PrintJson(response) ? 0 : 3;
  Table table({{"TASK"}, {"ADAPTERS"}, {"CHAT"}, {"DESCRIPTION"}});
  for (const v1::TaskInfo& task : response.tasks()) {
    table.Add({task.id().empty() ? "\"\"" : task.id(), AdapterUsesText(task.adapters()),
               task.has_chat_template() ? "yes" : "no", task.description()});
  }
  std::printf("%s", table.Text().c_str());
  return 0;
}

int PutTask(const Connection& connection, const TaskPutFlags& flags) {
  auto stub = v1::Admin::NewStub(OpenChannel(connection));
  grpc::ClientContext context;
  PrepareContext(connection, context);
  v1::PutTaskRequest request;
  *request.mutable_task() = TaskOf(flags);
  v1::PutTaskResponse response;
  const grpc::Status status = stub->PutTask(&context, request, &response);
  if (!status.ok()) return Failed("put", status, connection);
  std::printf("%s: %s\n", flags.id.empty() ? "\"\"" : flags.id.c_str(),
              response.replaced() ? "replaced" : "added");
  return 0;
}

int DeleteTask(const Connection& connection, const std::string& id) {
  auto stub = v1::Admin::NewStub(OpenChannel(connection));
  grpc::ClientContext context;
  PrepareContext(connection, context);
  v1::DeleteTaskRequest request;
  request.set_id(id);
  v1::DeleteTaskResponse response;
  const grpc::Status status = stub->DeleteTask(&context, request, &response);
  if (!status.ok()) return Failed("delete", status, connection);
  std::printf("%s: deleted\n", id.c_str());
  return 0;
}

void AddListFlags(CLI::App& command, ListFlags& flags) {
  AddConnectionFlags(command, flags.connection, "127.0.0.1:50051");
  command.add_flag("--json", flags.json, "print the answer as JSON");
}

void AddPut(CLI::App& parent, Action& action) {
  CLI::App* command = parent.add_subcommand("put", "add a task, or replace the one of that id as a whole");
  auto connection = std::make_shared<Connection>();
  auto flags = std::make_shared<TaskPutFlags>();
  AddAdminFlags(*command, *connection);
  AddTaskPutFlags(*command, *flags);
  command->callback([connection, flags, &action] {
    action = [connection, flags] { return PutTask(*connection, *flags); };
  });
}

void AddDelete(CLI::App& parent, Action& action) {
  CLI::App* command = parent.add_subcommand("delete", "take a task away; its running requests end as usual");
  auto connection = std::make_shared<Connection>();
  auto id = std::make_shared<std::string>();
  AddAdminFlags(*command, *connection);
  command->add_option("id", *id, "the task")->required();
  command->footer("  guildhall tasks delete math");
  command->callback(
      [connection, id, &action] { action = [connection, id] { return DeleteTask(*connection, *id); }; });
}

}  // namespace

void AddTasksCommand(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand(
      "tasks", "the tasks of a running server: list (also without a subcommand), put, delete");
  auto flags = std::make_shared<ListFlags>();
  const auto list = [flags, &action] { action = [flags] { return ListTasks(*flags); }; };
  AddListFlags(*parent, *flags);
  parent->callback([parent, list] {
    if (parent->get_subcommands().empty()) list();
  });
  CLI::App* command = parent->add_subcommand("list", "every task with what serves it");
  AddListFlags(*command, *flags);
  command->footer("  guildhall tasks list --server 10.0.0.7:50051");
  command->callback(list);
  AddPut(*parent, action);
  AddDelete(*parent, action);
  parent->require_subcommand(0, 1);
}

}  // namespace guildhall
