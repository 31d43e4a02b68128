// The binary as its users run it: serve the demo model, ask it over real sockets, stop it.
#include <signal.h>

#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "base/json.h"
#include "base/mapped_file.h"
#include "tests/e2e/client.h"
#include "tests/e2e/process.h"
#include "tests/support/compare.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

// Tasks that configs/demo.json serves, with the adapter of each; evaluation.json knows more.
std::map<std::string, std::string> ServedTasks(const std::string& address) {
  auto stub = v1::Inference::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::ListTasksResponse response;
  REQUIRE(stub->ListTasks(&context, {}, &response).ok());
  std::map<std::string, std::string> tasks;
  for (const v1::TaskInfo& task : response.tasks())
    tasks[task.id()] = task.adapters().empty() ? "" : task.adapters(0).name();
  return tasks;
}

std::vector<v1::GenerateRequest> MixedRequests(const std::string& address, int per_task) {
  const auto served = ServedTasks(address);
  std::vector<v1::GenerateRequest> requests;
  for (const Example& example : HeldOutExamples(per_task)) {
    if (!served.contains(example.task) || served.at(example.task) != example.adapter) continue;
    v1::GenerateRequest request = GreedyRequest(example.task, example.prompt);
    if (requests.size() % 2 ==
        1) {  // every other one sampled: the draw must not depend on the company either
      request.mutable_sampling()->set_temperature(0.9f);
      request.mutable_sampling()->set_seed(1000 + requests.size());
    }
    requests.push_back(request);
  }
  return requests;
}

// An emulated device takes its time: fewer of everything there.
int Times(int many, int few) {
  return OnTestDevice() ? few : many;
}

Json DemoGolden() {
  const auto text = ReadSmallFile(std::string(GUILDHALL_SOURCE_DIR) + "/demo/golden.json", size_t{16} << 20);
  REQUIRE(text.ok());
  auto json = ParseJson(*text, "golden.json");
  REQUIRE(json.ok());
  return *std::move(json);
}

}  // namespace

TEST_CASE("the served demo answers as transformers does: same prompt ids, same greedy tokens", "[long]") {
  // Float arithmetic, as the golden's: the portable level keeps float activations, and here float keys too; a
  // device keeps those of products with float weights.
  const ServerProcess server({"cpu.isa=portable", "memory.kv_dtype=f32", "weights.experts=f32",
                              "weights.shared_experts=f32", "weights.dense=f32", "weights.attention=f32",
                              "weights.head=f32"});
  auto stub =
      v1::Inference::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
  const Json golden = DemoGolden();
  REQUIRE(golden.size() >= 20);
  for (const Json& item : golden) {
    const std::string task = item["task"], prompt = item["prompt"];
    INFO(task << ": " << prompt);
    v1::TokenizeRequest tokenize;
    tokenize.set_task(task);
    tokenize.set_text(prompt);
    v1::TokenizeResponse tokens;
    grpc::ClientContext context;
    REQUIRE(stub->Tokenize(&context, tokenize, &tokens).ok());
    CHECK(std::vector<int32_t>(tokens.token_ids().begin(), tokens.token_ids().end()) ==
          item["prompt_ids"].get<std::vector<int32_t>>());
    const auto expected = item["output_ids"].get<std::vector<int32_t>>();
    const Answer answer =
        Ask(server.address(), GreedyRequest(task, prompt, static_cast<int64_t>(expected.size())));
    REQUIRE(answer.status.ok());
    // transformers' output ends with the end token; a stream reports it beside the tokens.
    std::vector<int32_t> found = answer.tokens;
    if (answer.end.matched_stop_case() == v1::GenerateEnd::kStopTokenId)
      found.push_back(answer.end.stop_token_id());
    CHECK(found == expected);
    CHECK(answer.text == item["output_text"].get<std::string>());
  }
}

TEST_CASE("every answer has the same tokens and the same bits of log-probability alone and among all others",
          "[long]") {
  const ServerProcess server({"engine.prefill_chunk=7", "engine.token_budget=64"});
  const std::vector<v1::GenerateRequest> requests = MixedRequests(server.address(), Times(5, 1));
  REQUIRE(requests.size() >= static_cast<size_t>(Times(30, 8)));
  std::vector<Answer> alone;
  for (const v1::GenerateRequest& request : requests) alone.push_back(Ask(server.address(), request));
  const std::vector<Answer> together = AskTogether(server.address(), requests);
  // A server that chunks, batches and caches otherwise, on another number of threads. Adapters are padded on
  // a device: what all of them need there at once is more.
  const ServerProcess other({"engine.prefill_chunk=64", "engine.prefix_cache=false", "cpu.threads=1",
                             OnTestDevice() ? "memory.kv=12MiB" : "memory.kv=4MiB"});
  const std::vector<Answer> elsewhere = AskTogether(other.address(), requests);
  // One that guesses tokens and checks several in a step.
  const ServerProcess guessing({"engine.speculation.max_draft_tokens=8", "engine.speculation.min_ngram=1"});
  const std::vector<Answer> guessed = AskTogether(guessing.address(), requests);
  int64_t accepted = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    INFO(requests[i].task() << ": " << requests[i].text());
    CHECK(together[i].status.error_message() == "");
    CHECK(elsewhere[i].status.error_message() == "");
    CHECK(guessed[i].status.error_message() == "");
    CHECK(together[i].tokens == alone[i].tokens);
    CHECK(SameBits(together[i].logprobs, alone[i].logprobs));
    CHECK(elsewhere[i].tokens == alone[i].tokens);
    CHECK(SameBits(elsewhere[i].logprobs, alone[i].logprobs));
    CHECK(guessed[i].tokens == alone[i].tokens);
    CHECK(SameBits(guessed[i].logprobs, alone[i].logprobs));
    CHECK(guessed[i].end.finish_reason() == alone[i].end.finish_reason());
    accepted += guessed[i].end.usage().accepted_tokens();
  }
  CHECK(accepted > 0);
}

TEST_CASE("SIGTERM lets the open request end, refuses new ones and exits with 0", "[long]") {
  ServerProcess server;
  v1::GenerateRequest request = GreedyRequest("", "hello", Times(400, 40));
  request.mutable_sampling()->set_ignore_eos(true);
  Answer open;
  std::jthread client([&] { open = Ask(server.address(), request); });
  while (StatusOf(server.admin_address()).engine().running() == 0) absl::SleepFor(absl::Milliseconds(2));
  server.Signal(SIGTERM);
  const int code = server.Wait();
  client.join();
  CHECK(code == 0);
  CHECK(open.status.ok());
  CHECK(open.end.usage().output_tokens() == Times(400, 40));
  CHECK_FALSE(Ask(server.address(), request).status.ok());
}

TEST_CASE("clients that go away leave nothing behind and disturb nobody", "[long]") {
  const ServerProcess server;
  const v1::GenerateRequest asked = GreedyRequest("math", HeldOutExamples(1).front().prompt);
  const Answer before = Ask(server.address(), asked);
  for (int round = 0; round < Times(20, 6); ++round) {
    auto stub =
        v1::Inference::NewStub(grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::GenerateRequest endless = GreedyRequest("", "go on", 400);
    endless.mutable_sampling()->set_ignore_eos(true);
    auto reader = stub->Generate(&context, endless);
    v1::GenerateResponse response;
    for (int i = 0; i < round % 4; ++i) reader->Read(&response);
    context.TryCancel();
    reader->Finish();
  }
  const Answer after = Ask(server.address(), asked);
  CHECK(after.tokens == before.tokens);
  CHECK(SameBits(after.logprobs, before.logprobs));
  v1::GetStatusResponse status;
  for (int tries = 0; tries < 500; ++tries) {
    status = StatusOf(server.admin_address());
    if (status.engine().running() == 0 && status.engine().kv_blocks_free() == status.engine().kv_blocks())
      break;
    absl::SleepFor(absl::Milliseconds(10));
  }
  CHECK(status.engine().running() == 0);
  CHECK(status.engine().queued() == 0);
  CHECK(status.engine().kv_blocks_free() == status.engine().kv_blocks());
  CHECK(status.open_streams() == 0);
}

TEST_CASE("the server's log tells what a user asks first, one line per request, and no prompt") {
  ServerProcess server;
  CHECK(Ask(server.address(), GreedyRequest("math", "a secret 4711 prompt")).status.ok());
  server.Signal(SIGTERM);
  const std::string log = server.Log();
  for (const char* said : {"guildhall 0.", OnTestDevice() ? "back end: cuda" : "back end: cpu",
                           "memory: ", "KV cache", "tasks: ", "ready", "task=\"math\""}) {
    INFO(said);
    CHECK(log.find(said) != std::string::npos);
  }
  CHECK(log.find("4711") == std::string::npos);
  CHECK(server.Wait() == 0);
}

TEST_CASE("the log has a line for each request, and its text, where log.requests and log.prompts say so") {
  const auto logged = [](const std::string& requests, const std::string& prompts) {
    ServerProcess server({"log.requests=" + requests, "log.prompts=" + prompts});
    CHECK(Ask(server.address(), GreedyRequest("math", "a secret 4711 prompt")).status.ok());
    server.Signal(SIGTERM);
    CHECK(server.Wait() == 0);
    const std::string log = server.Log();
    return std::pair(log.find("task=\"math\"") != std::string::npos, log.find("4711") != std::string::npos);
  };
  CHECK(logged("true", "true") == std::pair(true, true));
  CHECK(logged("false", "true") == std::pair(false, false));
}

TEST_CASE("held-out examples are answered as transformers answers them, by task", "[long]") {
  const ServerProcess server;
  const auto served = ServedTasks(server.address());
  std::vector<v1::GenerateRequest> requests;
  std::vector<Example> examples;
  for (const Example& example : HeldOutExamples(Times(25, 3))) {
    if (!served.contains(example.task) || served.at(example.task) != example.adapter) continue;
    examples.push_back(example);
    requests.push_back(GreedyRequest(example.task, example.prompt));
  }
  const std::vector<Answer> answers = AskTogether(server.address(), requests);
  // What transformers answers with the same weights in float; bf16 products may decide a near tie otherwise.
  std::map<std::string, int> asked, as_reference;
  for (size_t i = 0; i < answers.size(); ++i) {
    REQUIRE(answers[i].status.ok());
    ++asked[examples[i].task];
    as_reference[examples[i].task] += answers[i].text == examples[i].reference ? 1 : 0;
  }
  REQUIRE(asked.size() >= 10);  // four of them by adapters
  for (const auto& [task, count] : asked) {
    INFO(task << ": " << as_reference[task] << " of " << count);
    CHECK(as_reference[task] >= count * 8 / 10);
  }
}

}  // namespace guildhall
