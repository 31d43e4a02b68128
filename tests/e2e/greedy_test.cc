// Whole generations through the engine against transformers: greedy continuations, token for token.
#include <catch2/catch.hpp>

#include "engine/engine.h"
#include "engine/token_stream.h"
#include "runtime/base_model.h"
#include "tests/support/golden.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

std::shared_ptr<Request> GreedyRequest(const Golden::Greedy& greedy, uint64_t id) {
  auto request = std::make_shared<Request>();
  request->id = id;
  request->prompt = greedy.prompt;
  request->sampling.temperature = 0.0f;
  request->sampling.max_tokens = static_cast<int32_t>(greedy.continuation.size());
  request->sampling.ignore_eos = true;
  request->stream = std::make_shared<TokenStream>(greedy.continuation.size() + 1);
  return request;
}

std::vector<int32_t> Tokens(TokenStream& stream) {
  std::vector<int32_t> tokens;
  while (auto event = stream.Pop(absl::Now() + absl::Seconds(60))) {
    if (const auto* token = std::get_if<TokenEvent>(&*event)) tokens.push_back(token->token);
    if (std::holds_alternative<RequestEnd>(*event)) return tokens;
  }
  FAIL("no end within a minute");
  return tokens;
}

void CheckContinuations(const Golden& golden, const EngineOptions& options, const TestBackend& on) {
  BaseModelOptions model_options;
  model_options.path = golden.directory;
  model_options.checkpoint.max_positions = 256;
  model_options.backend = on.options;
  model_options.backend.cpu.threads = 0;  // all that are allowed
  model_options.kv_budget = "4MiB";
  auto model = LoadBaseModel(model_options);
  REQUIRE(model.ok());
  Engine engine(*model->decoder, options, {TaskPolicy{}});
  engine.Start();
  std::vector<std::shared_ptr<Request>> requests;
  for (const Golden::Greedy& greedy : golden.greedy) {
    requests.push_back(GreedyRequest(greedy, requests.size() + 1));
    REQUIRE(engine.Submit(requests.back()).ok());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    CHECK(Tokens(*requests[i]->stream) == golden.greedy[i].continuation);
  }
}

}  // namespace

TEST_CASE("float32 greedy continuations equal transformers' token for token, however they are scheduled",
          "[long]") {
  int cases = 0;
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    if (golden.bf16 || golden.greedy.empty()) continue;
    INFO(name);
    CheckContinuations(golden, {}, DefaultTestBackend());
    EngineOptions small;
    small.token_budget = 5;
    small.prefill_chunk = 3;
    CheckContinuations(golden, small, TestBackends().front());
    ++cases;
  }
  CHECK(cases >= 20);
}

}  // namespace guildhall
