// The engine over a real model: what the prefix cache, chunks, neighbours and preemption leave of an answer
// is all of it, to the bit, on every back end.
#include <catch2/catch.hpp>
#include <random>

#include "checkpoint/checkpoint.h"
#include "engine/engine.h"
#include "model/decoder.h"
#include "tests/engine/answers.h"
#include "tests/support/golden.h"
#include "tests/support/test_backends.h"

namespace guildhall {
namespace {

constexpr size_t kShared = 40;  // prompt tokens that all requests have in common
constexpr int32_t kOutput = 30;
constexpr int64_t kRows = 64;
constexpr int64_t kBlocks = 10;  // two requests of 90 tokens at most

struct Served {
  Served(const std::string& golden, const TestBackend& on, int64_t kv_blocks, KvFormat format)
      : backend(on.make(1)), checkpoint(Checkpoint::Open(LoadGolden(golden).directory).value()) {
    DecoderOptions options;
    options.max_rows = kRows;
    options.kv_blocks = kv_blocks;
    options.kv_format = format;
    decoder = Decoder::Load(*checkpoint, *backend, options).value();
  }

  std::unique_ptr<Backend> backend;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Decoder> decoder;
};

std::vector<std::vector<int32_t>> Prompts(int64_t vocabulary) {
  std::mt19937 random(7);
  const auto token = [&] { return static_cast<int32_t>(random() % static_cast<uint32_t>(vocabulary)); };
  std::vector<int32_t> shared(kShared);
  for (int32_t& one : shared) one = token();
  std::vector<std::vector<int32_t>> prompts;
  for (const size_t own : {5u, 23u, 1u, 12u}) {
    prompts.push_back(shared);
    for (size_t i = 0; i < own; ++i) prompts.back().push_back(token());
  }
  return prompts;
}

std::shared_ptr<Request> NewRequest(const std::vector<int32_t>& prompt) {
  auto request = MakeRequest(prompt, Seeded(kOutput, 5));
  request->sampling.logprobs = true;
  request->sampling.top_logprobs = 3;
  return request;
}

void RequireSame(const Answer& answer, const Answer& alone) {
  REQUIRE(answer.end.status.ok());
  REQUIRE(answer.tokens == alone.tokens);
  REQUIRE(answer.logprobs.size() == alone.logprobs.size());
  for (size_t i = 0; i < answer.logprobs.size(); ++i) {
    INFO("token " << i);
    REQUIRE(answer.logprobs[i].logprob == alone.logprobs[i].logprob);
    REQUIRE(answer.logprobs[i].top == alone.logprobs[i].top);
  }
}

// Each by itself: prompts in one step, nothing cached.
std::vector<Answer> Alone(Served& served, const std::vector<std::vector<int32_t>>& prompts) {
  EngineOptions options = SmallOptions();
  options.prefill_chunk = options.token_budget = static_cast<int>(kRows);
  options.prefix_cache = false;
  Engine engine(*served.decoder, options, BaseTask());
  engine.Start();
  std::vector<Answer> answers;
  for (const auto& prompt : prompts) {
    const auto request = NewRequest(prompt);
    REQUIRE(engine.Submit(request).ok());
    answers.push_back(Collect(*request->stream));
    REQUIRE(answers.back().end.usage.cached_tokens == 0);
  }
  return answers;
}

// All at once, after the first: with a cache that is too small for them, in chunks of 9 rows.
void CheckTogether(Served& served, const std::vector<std::vector<int32_t>>& prompts,
                   const std::vector<Answer>& alone) {
  EngineOptions options = SmallOptions();
  options.prefill_chunk = 9;
  options.token_budget = 24;
  Engine engine(*served.decoder, options, BaseTask());
  engine.Start();
  const auto first = NewRequest(prompts[0]);
  REQUIRE(engine.Submit(first).ok());
  RequireSame(Collect(*first->stream), alone[0]);
  std::vector<std::shared_ptr<Request>> requests;
  for (const auto& prompt : prompts) {
    requests.push_back(NewRequest(prompt));
    REQUIRE(engine.Submit(requests.back()).ok());
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    INFO("request " << i);
    const Answer answer = Collect(*requests[i]->stream);
    RequireSame(answer, alone[i]);
    CHECK(answer.end.usage.cached_tokens > 0);
  }
  CHECK(engine.Status().preemptions > 0);
}

void CheckIsolation(const TestBackend& on, const char* golden, KvFormat format) {
  INFO(on.name << ", " << golden << ", " << KvFormatName(format));
  Served served(golden, on, kBlocks, format);
  const auto prompts = Prompts(served.decoder->vocabulary());
  CheckTogether(served, prompts, Alone(served, prompts));
}

}  // namespace

TEST_CASE("An answer out of the prefix cache, in chunks, among others and preempted is the one alone") {
  for (const TestBackend& on : TestBackends()) {
    CheckIsolation(on, "deepseek_v2_lite_bf16", KvFormat::kBF16);
    CheckIsolation(on, "deepseek_v2_lite_bf16", KvFormat::kInt8);
    CheckIsolation(on, "qwen3_moe_f32", KvFormat::kF32);
    CheckIsolation(on, "qwen3_moe_f16", KvFormat::kF16);
  }
}

// By itself, for the checking mode.
TEST_CASE("And so it is through a window", "[churn]") {
  for (const TestBackend& on : TestBackends()) CheckIsolation(on, "mixtral_window_bf16", KvFormat::kBF16);
}

}  // namespace guildhall
