// guildhall generate: one request, the answer streamed to standard output.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/channel.h"
#include "client/command.h"
#include "client/error_text.h"
#include "guildhall/v1/inference.grpc.pb.h"

namespace guildhall {
namespace {

struct GenerateFlags {
  Connection connection;
  std::string task, prompt, system;
  bool chat = false, logprobs = false, usage = false;
  std::vector<int32_t> token_ids;
  std::vector<std::string> stop;
  std::optional<float> temperature, top_p, min_p;
  std::optional<int64_t> top_k, max_tokens;
  std::optional<uint64_t> seed;
  bool ignore_eos = false;
  std::optional<int64_t> speculate;
};

v1::GenerateRequest MakeRequest(const GenerateFlags& flags) {
  v1::GenerateRequest request;
  request.set_task(flags.task);
  if (!flags.token_ids.empty()) {
    request.mutable_token_ids()->mutable_ids()->Add(flags.token_ids.begin(), flags.token_ids.end());
  } else if (flags.chat || !flags.system.empty()) {
    if (!flags.system.empty()) {
      v1::ChatMessage* system = request.mutable_chat()->add_messages();
      system->set_role("system");
      system->set_content(flags.system);
    }
    v1::ChatMessage* user = request.mutable_chat()->add_messages();
    user->set_role("user");
    user->set_content(flags.prompt);
  } else {
    request.set_text(flags.prompt);
  }
  v1::SamplingOptions* sampling = request.mutable_sampling();
  if (flags.temperature) sampling->set_temperature(*flags.temperature);
  if (flags.top_p) sampling->set_top_p(*flags.top_p);
  if (flags.min_p) sampling->set_min_p(*flags.min_p);
  if (flags.top_k) sampling->set_top_k(*flags.top_k);
  if (flags.max_tokens) sampling->set_max_tokens(*flags.max_tokens);
  if (flags.seed) sampling->set_seed(*flags.seed);
  if (flags.ignore_eos) sampling->set_ignore_eos(true);
  for (const std::string& stop : flags.stop) sampling->add_stop(stop);
  if (flags.speculate) request.mutable_speculation()->set_max_draft_tokens(*flags.speculate);
  request.mutable_logprobs()->set_chosen(flags.logprobs);
  return request;
}

void PrintUsage(const v1::GenerateEnd& end) {
  const auto& first = end.timings().first_token();
  const double first_ms = static_cast<double>(first.seconds()) * 1e3 + first.nanos() * 1e-6;
  const auto& each = end.timings().per_token();
  const double each_ms = static_cast<double>(each.seconds()) * 1e3 + each.nanos() * 1e-6;
  std::fprintf(stderr,
               "[%s; prompt %lld (%lld cached), output %lld tokens; first token %.1f ms, then %.1f ms each; "
               "seed %llu]\n",
               v1::FinishReason_Name(end.finish_reason()).substr(sizeof("FINISH_REASON_") - 1).c_str(),
               static_cast<long long>(end.usage().prompt_tokens()),
               static_cast<long long>(end.usage().cached_tokens()),
               static_cast<long long>(end.usage().output_tokens()), first_ms, each_ms,
               static_cast<unsigned long long>(end.seed()));
  const auto drafted = static_cast<long long>(end.usage().drafted_tokens());
  if (drafted == 0) return;
  const auto accepted = static_cast<long long>(end.usage().accepted_tokens());
  std::fprintf(stderr, "[prompt lookup: %lld of %lld guessed tokens were right, %.0f %%]\n", accepted,
               drafted, 100.0 * static_cast<double>(accepted) / static_cast<double>(drafted));
}

void PrintChunk(const GenerateFlags& flags, const v1::GenerateChunk& chunk) {
  if (!flags.logprobs) {
    std::fwrite(chunk.text().data(), 1, chunk.text().size(), stdout);
    std::fflush(stdout);
    return;
  }
  for (const v1::Logprob& logprob : chunk.logprobs()) {
    std::printf("%8d  %9.4f  %s\n", logprob.token_id(), static_cast<double>(logprob.logprob()),
                logprob.text().c_str());
  }
}

int Generate(const GenerateFlags& flags) {
  auto stub = v1::Inference::NewStub(OpenChannel(flags.connection));
  grpc::ClientContext context;
  PrepareContext(flags.connection, context);
  auto reader = stub->Generate(&context, MakeRequest(flags));
  v1::GenerateResponse response;
  bool any = false;
  while (reader->Read(&response)) {
    if (response.has_chunk()) {
      any = true;
      PrintChunk(flags, response.chunk());
    } else if (response.has_end()) {
      if (any && !flags.logprobs) std::printf("\n");
      std::fflush(stdout);
      if (flags.usage) PrintUsage(response.end());
    }
  }
  const grpc::Status status = reader->Finish();
  if (status.ok()) return 0;
  std::fprintf(stderr, "guildhall generate: %s\n", ErrorText(status, flags.connection.server).c_str());
  return ErrorExitCode(status);
}

}  // namespace

void AddGenerateCommand(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("generate", "send a prompt to a running server and stream the answer");
  auto flags = std::make_shared<GenerateFlags>();
  AddConnectionFlags(*command, flags->connection, "127.0.0.1:50051");
  command->add_option("prompt", flags->prompt, "the prompt; \"-\" reads standard input");
  command->add_option("-t,--task", flags->task, "the task; without it the base model");
  command->add_flag("--chat", flags->chat, "send the prompt as a chat message");
  command->add_option("--system", flags->system, "a system message before it (implies --chat)");
  command->add_option("--token-ids", flags->token_ids, "token ids instead of a prompt")->delimiter(',');
  command->add_option("--max-tokens", flags->max_tokens, "most tokens to generate");
  command->add_option("--temperature", flags->temperature, "0 is greedy");
  command->add_option("--top-k", flags->top_k, "keep the k most likely tokens");
  command->add_option("--top-p", flags->top_p, "keep the most likely tokens up to this probability");
  command->add_option("--min-p", flags->min_p, "drop tokens below this share of the best one's probability");
  command->add_option("--seed", flags->seed, "same seed, same text");
  command->add_option("--stop", flags->stop, "a string that ends the answer (may be repeated)");
  command->add_flag("--ignore-eos", flags->ignore_eos, "go on past the model's end token");
  command->add_option("--speculate", flags->speculate,
                      "guess up to so many tokens at a time where the text repeats itself; 0: never");
  command->add_flag("--logprobs", flags->logprobs, "print a line per token with its log-probability");
  command->add_flag("-u,--usage", flags->usage, "print tokens and times to standard error at the end");
  command->callback([flags, command, &action] {
    if (flags->prompt.empty() && flags->token_ids.empty() && command->count("prompt") == 0) {
      throw CLI::RequiredError("prompt or --token-ids");
    }
    if (flags->prompt == "-") {
      flags->prompt.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
    }
    action = [flags] { return Generate(*flags); };
  });
}

}  // namespace guildhall
