// guildhall status: what a server says of itself, from its administration listener.
#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>

#include "base/format_bytes.h"
#include "client/adapter_text.h"
#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "client/listener_text.h"
#include "client/table.h"
#include "guildhall/v1/admin.grpc.pb.h"

namespace guildhall {
namespace {

void PrintModel(const v1::GetStatusResponse& status) {
  const v1::ModelStatus& model = status.model();
  std::string state = v1::GetStatusResponse::State_Name(status.state()).substr(sizeof("STATE_") - 1);
  std::printf("guildhall %s  %s  %" PRId64 " open streams\n", status.version().c_str(), state.c_str(),
              status.open_streams());
  std::printf("model    %s (%s, %s)  %" PRId64 " layers, %" PRId64 " experts, %" PRId64
              " per token, context %" PRId64 "\n",
              model.name().c_str(), model.architecture().c_str(), model.dtype().c_str(), model.layers(),
              model.experts(), model.experts_per_token(), model.context_tokens());
  std::printf("backend  %s\n", model.backend().c_str());
}

void PrintEngine(const v1::EngineStatus& engine) {
  std::printf("engine   %.1f tokens/s  %" PRId64 " running, %" PRId64 " queued  %" PRIu64 " steps, %" PRIu64
              " preemptions\n",
              engine.output_tokens_per_second(), engine.running(), engine.queued(), engine.steps(),
              engine.preemptions());
  std::printf("kv       %" PRId64 " of %" PRId64 " blocks free (%" PRId64 " reusable as a prefix), %" PRId64
              " at most, %" PRIu64 " prompt tokens from the prefix cache\n",
              engine.kv_blocks_free(), engine.kv_blocks(), engine.kv_blocks_cached(), engine.kv_blocks_most(),
              engine.prefix_hit_tokens());
}

// "123 of 200", or "-" where nothing was guessed.
std::string GuessText(const v1::TaskStatus& task) {
  if (task.drafted_tokens() == 0) return "-";
  return std::to_string(task.accepted_tokens()) + " of " + std::to_string(task.drafted_tokens());
}

void PrintSteps(const v1::EngineStatus& engine) {
  std::printf("steps    %" PRId64 " prompt tokens beside decoding, %" PRIu64
              " requests overtaken for shared experts\n",
              engine.prompt_rows(), engine.overtakings());
  if (engine.hung()) std::printf("step     has run for %.0f s: it counts as hung\n", engine.step_seconds());
}

void PrintMemoryAndTasks(const v1::GetStatusResponse& status) {
  for (const v1::MemoryItem& item : status.memory()) {
    std::printf("memory   %-24s %14s  %s\n", item.name().c_str(), FormatBytes(item.bytes()).c_str(),
                item.note().c_str());
  }
  if (status.has_budget()) std::printf("%s", BudgetText(status.budget()).c_str());
  if (status.adapters_size() > 0) std::printf("%s", AdapterTable(status.adapters()).c_str());
  std::printf("%-16s %7s %8s %7s %9s %9s %14s %14s %14s\n", "TASK", "weight", "running", "queued", "requests",
              "rejected", "prompt tokens", "output tokens", "guessed right");
  for (const v1::TaskStatus& task : status.tasks()) {
    std::printf("%-16s %7.2f %8" PRId64 " %7" PRId64 " %9" PRIu64 " %9" PRIu64 " %14" PRIu64 " %14" PRIu64
                " %14s\n",
                task.id().empty() ? "\"\"" : task.id().c_str(), task.weight(), task.running(), task.queued(),
                task.requests(), task.rejected(), task.prompt_tokens(), task.output_tokens(),
                GuessText(task).c_str());
  }
}

int PrintStatus(const Connection& connection, bool json) {
  auto stub = v1::Admin::NewStub(OpenChannel(connection));
  grpc::ClientContext context;
  PrepareContext(connection, context);
  v1::GetStatusResponse response;
  const grpc::Status status = stub->GetStatus(&context, {}, &response);
  if (!status.ok()) {
    std::fprintf(stderr, "guildhall status: %s\n", ErrorText(status, connection.server).c_str());
    return ErrorExitCode(status);
  }
  if (json) {
    return PrintJson(response) ? 0 : 3;
  }
  PrintModel(response);
  PrintEngine(response.engine());
  PrintSteps(response.engine());
  PrintMemoryAndTasks(response);
  if (response.listeners_size() > 0) std::printf("%s", ListenerTable(response.listeners()).c_str());
  return 0;
}

}  // namespace

void AddStatusCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("status", "what a running server says of itself (administration listener)");
  auto connection = std::make_shared<Connection>();
  auto json = std::make_shared<bool>(false);
  AddAdminFlags(*command, *connection);
  command->add_flag("--json", *json, "print the whole answer as JSON");
  command->callback([connection, json, &action] {
    action = [connection, json] { return PrintStatus(*connection, *json); };
  });
}

}  // namespace guildhall
