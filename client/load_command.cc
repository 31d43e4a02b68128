// guildhall load: many requests of many tasks at once against a running server, with their answers and times.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/channel.h"
#include "client/command.h"
#include "client/load_churn.h"
#include "client/load_plan.h"
#include "client/load_report.h"
#include "client/load_sender.h"

namespace guildhall {
namespace {

struct LoadFlags {
  Connection connection;
  std::string admin = "127.0.0.1:50052";
  std::string prompts_file, churn;  // churn: NAME=PATH
  std::vector<std::string> tasks;
  std::vector<int> concurrency{8};
  int requests = 64;
  int64_t max_tokens = 64;
  uint64_t seed = 1;
  Arrivals arrivals;
  Popularity popularity;
  LoadGoals goals;
  bool json = false, watch = false;
};

std::unique_ptr<LoadChurn> StartChurn(const LoadFlags& flags) {
  if (flags.churn.empty()) return nullptr;
  Connection admin = flags.connection;
  admin.server = flags.admin;
  const size_t equals = flags.churn.find('=');
  return std::make_unique<LoadChurn>(admin, flags.churn.substr(0, equals), flags.churn.substr(equals + 1));
}

LoadResult RunOnce(const LoadFlags& flags, const std::vector<LoadPrompt>& prompts, int streams) {
  const std::vector<double> due = DrawArrivals(flags.arrivals, prompts.size(), flags.seed);
  std::unique_ptr<LoadBoard> board;
  if (flags.watch) board = std::make_unique<LoadBoard>(prompts, isatty(STDOUT_FILENO) == 1);
  LoadResult result;
  result.streams = streams;
  const auto churn = StartChurn(flags);
  const auto start = std::chrono::steady_clock::now();
  result.samples = SendLoad({.connection = flags.connection,
                             .prompts = prompts,
                             .due = due,
                             .streams = streams,
                             .max_tokens = flags.max_tokens,
                             .board = board.get()});
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (churn) result.churn.push_back(churn->Stop());
  if (board) board->PrintFinal();
  return result;
}

void Print(const LoadFlags& flags, const std::vector<LoadResult>& results) {
  if (flags.json) {
    Json runs = Json::array();
    for (const LoadResult& result : results) runs.push_back(LoadReportJson(result, flags.goals));
    // One run is its own report; a sweep is a list of them.
    const Json report = results.size() == 1 ? runs[0] : Json{{"runs", runs}};
    std::printf("%s\n", DumpJson(report, 2).c_str());
  } else if (!flags.watch) {
    for (const LoadResult& result : results) {
      std::printf("%zu requests, %d at once, in %.2f s\n%s\n", result.samples.size(), result.streams,
                  result.seconds, LoadReportText(result, flags.goals).c_str());
    }
    if (results.size() > 1) std::printf("%s", LoadSweepText(results, flags.goals).c_str());
  }
}

// 3 when a request or the adapter beside them failed: says which was the first.
int ExitCode(const std::vector<LoadResult>& results) {
  for (const LoadResult& result : results) {
    const auto failed = std::find_if(result.samples.begin(), result.samples.end(),
                                     [](const LoadSample& s) { return !s.error.empty(); });
    if (failed != result.samples.end()) {
      std::fprintf(stderr, "guildhall load: at least one request failed; the first: task \"%s\": %s\n",
                   failed->task.c_str(), failed->error.c_str());
      return 3;
    }
    if (!result.churn.empty() && result.churn[0].failures > 0) {
      std::fprintf(stderr, "guildhall load: --churn: %s\n", result.churn[0].first_error.c_str());
      return 3;
    }
  }
  return 0;
}

int Load(const LoadFlags& flags) {
  const auto by_task = ReadLoadPrompts(flags.prompts_file, flags.tasks);
  if (!by_task.ok()) {
    std::fprintf(stderr, "guildhall load: %s\n", std::string(by_task.status().message()).c_str());
    return 1;
  }
  const std::vector<LoadPrompt> prompts =
      DrawPrompts(*by_task, flags.popularity, static_cast<size_t>(flags.requests), flags.seed);
  std::vector<LoadResult> results;
  for (const int streams : flags.concurrency) results.push_back(RunOnce(flags, prompts, streams));
  Print(flags, results);
  return ExitCode(results);
}

// A flag whose text `parse` reads into `value`.
template <typename T>
void AddParsed(CLI::App& command, const std::string& name, T& value,
               absl::StatusOr<T> (*parse)(std::string_view), const std::string& help) {
  command.add_option_function<std::string>(
      name,
      [&value, name, parse](const std::string& text) {
        const auto parsed = parse(text);
        if (!parsed.ok()) throw CLI::ValidationError(name, std::string(parsed.status().message()));
        value = *parsed;
      },
      help);
}

void AddTrafficFlags(CLI::App& command, LoadFlags& flags) {
  command
      .add_option("-c,--concurrency", flags.concurrency,
                  "requests at once, at most; several (1,4,16) run one after another")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("-n,--requests", flags.requests, "requests in all")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  AddParsed(
      command, "--arrivals", flags.arrivals, ParseArrivals,
      "closed (the default: the next when one has been answered), poisson:RATE or bursty:RATE,SIZE with "
      "requests per second; times then count from when a request was due");
  AddParsed(command, "--popularity", flags.popularity, ParsePopularity,
            "of the tasks: turn (the default), uniform, or zipf:S (the first task is the most popular)");
  command.add_option("--seed", flags.seed, "of arrivals and tasks")->capture_default_str();
  command
      .add_option("--churn", flags.churn,
                  "NAME=PATH: load this adapter and unload it again all the time, beside the requests")
      ->check(CLI::Validator(
          [](std::string& text) {
            const size_t equals = text.find('=');
            return equals != std::string::npos && equals > 0 && equals + 1 < text.size()
                       ? std::string()
                       : "expected NAME=PATH";
          },
          "NAME=PATH"));
  command.add_option("--admin", flags.admin, "the administration listener, for --churn")
      ->envname("GUILDHALL_CLIENT_ADMIN")
      ->capture_default_str();
}

}  // namespace

void AddLoadCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("load", "send many requests of many tasks to a running server and time them");
  auto flags = std::make_shared<LoadFlags>();
  AddConnectionFlags(*command, flags->connection, "127.0.0.1:50051");
  command
      ->add_option("prompts", flags->prompts_file,
                   "JSON: {TASK: {\"examples\": [{\"prompt\", \"expected\"}]}}")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("-t,--task", flags->tasks, "only these tasks (may be repeated)");
  AddTrafficFlags(*command, *flags);
  command->add_option("--max-tokens", flags->max_tokens, "most tokens of an answer")->capture_default_str();
  command
      ->add_option("--good-first-token", flags->goals.first_token_ms,
                   "a good answer begins within so many ms")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--good-token", flags->goals.token_ms, "and goes on with so many ms per token, on average")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--watch", flags->watch, "show the answers side by side as they stream, no times");
  command->add_flag("--json", flags->json, "print the report as JSON");
  command->footer(
      "  guildhall load demo/tasks.json -c 1,4,16,64 -n 400\n"
      "  guildhall load demo/tasks.json -c 64 -n 400 --arrivals bursty:50,16 --popularity zipf:1.2");
  command->callback([flags, &action] { action = [flags] { return Load(*flags); }; });
}

}  // namespace guildhall
