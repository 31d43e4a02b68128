// guildhall load: many requests of many tasks at once against a running server, with their answers and times.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "client/load_report.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct LoadFlags {
  Connection connection;
  std::string prompts_file;
  std::vector<std::string> tasks;
  int concurrency = 8, requests = 64;
  int64_t max_tokens = 64;
  bool json = false, watch = false;
};

struct Prompt {
  std::string task, prompt, expected;
};

// {TASK: {"examples": [{"prompt": ..., "expected": ...}]}}; a task's other keys are for other readers.
absl::StatusOr<std::vector<Prompt>> ReadPrompts(const LoadFlags& flags) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(flags.prompts_file, size_t{16} << 20));
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, flags.prompts_file));
  GH_ASSIGN_OR_RETURN(const JsonObject tasks, JsonObject::From(json, flags.prompts_file));
  const std::set<std::string> wanted(flags.tasks.begin(), flags.tasks.end());
  std::vector<std::vector<Prompt>> by_task;
  for (const auto& [id, entry] : json.items()) {
    if (!wanted.empty() && !wanted.contains(id)) continue;
    GH_ASSIGN_OR_RETURN(const JsonObject task, tasks.Object(id));
    const Json* examples = task.Find("examples");
    if (examples == nullptr || !examples->is_array() || examples->empty()) {
      return task.Error("examples", "expected a list of {\"prompt\", \"expected\"}");
    }
    std::vector<Prompt>& prompts = by_task.emplace_back();
    for (const Json& item : *examples) {
      GH_ASSIGN_OR_RETURN(const JsonObject example, JsonObject::From(item, task.Where("examples")));
      Prompt& prompt = prompts.emplace_back();
      prompt.task = id;
      GH_ASSIGN_OR_RETURN(prompt.prompt, example.String("prompt"));
      GH_ASSIGN_OR_RETURN(prompt.expected, example.StringOr("expected", ""));
    }
  }
  if (by_task.empty())
    return absl::InvalidArgumentError(flags.prompts_file + ": none of the asked tasks is in it");
  // Tasks in turn, so that neighbours in time are of different tasks.
  std::vector<Prompt> mixed;
  for (size_t i = 0; mixed.size() < static_cast<size_t>(flags.requests); ++i) {
    const std::vector<Prompt>& prompts = by_task[i % by_task.size()];
    mixed.push_back(prompts[i / by_task.size() % prompts.size()]);
  }
  return mixed;
}

// The answers as they grow, one line each, redrawn in place; silent where standard output is no terminal.
class Board {
 public:
  Board(const std::vector<Prompt>& prompts, bool live)
      : prompts_(prompts), answers_(prompts.size()), live_(live) {
    if (live_) Draw(false);
  }

  void Append(size_t index, const std::string& text) {
    std::lock_guard lock(mutex_);
    answers_[index] += text;
    if (live_) Draw(true);
  }

  void PrintFinal() {
    if (!live_) Draw(false);
  }

 private:
  static std::string Cut(std::string text, size_t width) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    if (text.size() <= width) return text;
    size_t end = width - 3;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    return text.substr(0, end) + "...";
  }

  void Draw(bool again) {
    if (again) std::printf("\033[%zuA", prompts_.size());
    for (size_t i = 0; i < prompts_.size(); ++i) {
      std::printf("%s%-14s %-52s | %s\n", live_ ? "\033[2K" : "", prompts_[i].task.c_str(),
                  Cut(prompts_[i].prompt, 52).c_str(), Cut(answers_[i], 64).c_str());
    }
    std::fflush(stdout);
  }

  const std::vector<Prompt>& prompts_;
  std::vector<std::string> answers_;
  const bool live_;
  std::mutex mutex_;
};

LoadSample SendOne(v1::Inference::Stub& stub, const LoadFlags& flags, const Prompt& prompt, Board* board,
                   size_t index) {
  LoadSample sample;
  sample.task = prompt.task, sample.prompt = prompt.prompt, sample.expected = prompt.expected;
  v1::GenerateRequest request;
  request.set_task(prompt.task);
  request.set_text(prompt.prompt);
  request.mutable_sampling()->set_temperature(0.0f);
  request.mutable_sampling()->set_max_tokens(flags.max_tokens);
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  auto reader = stub.Generate(&context, request);
  v1::GenerateResponse response;
  while (reader->Read(&response)) {
    if (response.has_chunk()) {
      if (sample.tokens == 0) {
        sample.first_token_ms = MillisecondsSince(start);
      } else {
        sample.token_gaps_ms.push_back(MillisecondsSince(last));
      }
      last = Clock::now();
      sample.tokens += response.chunk().token_ids_size();
      sample.answer += response.chunk().text();
      if (board) board->Append(index, response.chunk().text());
    } else if (response.has_end()) {
      sample.tokens = static_cast<int>(response.end().usage().output_tokens());
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) sample.error = ErrorText(status, flags.connection.server);
  return sample;
}

std::vector<LoadSample> SendAll(const LoadFlags& flags, const std::vector<Prompt>& prompts, Board* board) {
  std::vector<LoadSample> samples(prompts.size());
  std::atomic<size_t> next{0};
  const auto channel = OpenChannel(flags.connection);
  std::vector<std::jthread> workers;
  for (int w = 0; w < std::min<int>(flags.concurrency, static_cast<int>(prompts.size())); ++w) {
    workers.emplace_back([&] {
      auto stub = v1::Inference::NewStub(channel);
      for (size_t i = next++; i < prompts.size(); i = next++)
        samples[i] = SendOne(*stub, flags, prompts[i], board, i);
    });
  }
  workers.clear();
  return samples;
}

int Load(const LoadFlags& flags) {
  const absl::StatusOr<std::vector<Prompt>> prompts = ReadPrompts(flags);
  if (!prompts.ok()) {
    std::fprintf(stderr, "guildhall load: %s\n", std::string(prompts.status().message()).c_str());
    return 1;
  }
  std::unique_ptr<Board> board;
  if (flags.watch) board = std::make_unique<Board>(*prompts, isatty(STDOUT_FILENO) == 1);
  const Clock::time_point start = Clock::now();
  const std::vector<LoadSample> samples = SendAll(flags, *prompts, board.get());
  const double seconds = MillisecondsSince(start) / 1e3;
  if (board) board->PrintFinal();
  if (flags.json) {
    std::printf("%s", LoadReportJson(samples, seconds).c_str());
  } else if (!flags.watch) {
    std::printf("%zu requests, %d at once, in %.2f s\n%s", samples.size(), flags.concurrency, seconds,
                LoadReportText(samples, seconds).c_str());
  }
  const auto failed =
      std::find_if(samples.begin(), samples.end(), [](const LoadSample& s) { return !s.error.empty(); });
  if (failed == samples.end()) return 0;
  std::fprintf(stderr, "guildhall load: at least one request failed; the first: task \"%s\": %s\n",
               failed->task.c_str(), failed->error.c_str());
  return 3;
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
  command->add_option("-c,--concurrency", flags->concurrency, "requests at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("-n,--requests", flags->requests, "requests in all, tasks in turn")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--max-tokens", flags->max_tokens, "most tokens of an answer")->capture_default_str();
  command->add_flag("--watch", flags->watch, "show the answers side by side as they stream, no times");
  command->add_flag("--json", flags->json, "print the report as JSON");
  command->callback([flags, &action] { action = [flags] { return Load(*flags); }; });
}

}  // namespace guildhall
