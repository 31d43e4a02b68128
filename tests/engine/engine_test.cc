// What one request sees of the engine, alone or with others beside it.
#include "engine/engine.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "absl/time/clock.h"
#include "engine/sampler.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

std::vector<int32_t> Prompt(int32_t first, size_t count) {
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < count; ++i) prompt.push_back((first + static_cast<int32_t>(i) * 7) % 61);
  return prompt;
}

TEST_CASE("A request's greedy and seeded tokens are those that its logits give without an engine") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  for (const SamplingParams& params : {Greedy(20), Seeded(20, 1), Seeded(20, 2)}) {
    auto request = MakeRequest(Prompt(3, 40), params);
    REQUIRE(engine.Submit(request).ok());
    const Answer answer = Collect(*request->stream);
    CHECK(answer.tokens == SoloTokens(*request, 61));
    CHECK(answer.end.reason == FinishReason::kLength);
    CHECK(answer.end.status.ok());
    CHECK(answer.end.usage.prompt_tokens == 40);
    CHECK(answer.end.usage.output_tokens == 20);
    CHECK(answer.end.stop_token == -1);
  }
}

TEST_CASE("Different seeds give different text and the same seed the same") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  std::vector<std::vector<int32_t>> texts;
  for (const uint64_t seed : {5, 6, 5}) {
    auto request = MakeRequest(Prompt(3, 10), Seeded(30, seed));
    REQUIRE(engine.Submit(request).ok());
    texts.push_back(Collect(*request->stream).tokens);
  }
  CHECK(texts[0] == texts[2]);
  CHECK(texts[0] != texts[1]);
}

TEST_CASE("An end token ends the request, is named in the end and is not sent as a token") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  auto free_run = MakeRequest(Prompt(1, 5), Greedy(10));
  const std::vector<int32_t> solo = SoloTokens(*free_run, 61);
  options.eos_tokens = {solo[4]};
  size_t first = 0;
  while (solo[first] != solo[4]) ++first;
  Engine engine(model, options, BaseTask());
  engine.Start();

  auto request = MakeRequest(Prompt(1, 5), Greedy(10));
  REQUIRE(engine.Submit(request).ok());
  Answer answer = Collect(*request->stream);
  CHECK(answer.tokens ==
        std::vector<int32_t>(solo.begin(), solo.begin() + static_cast<std::ptrdiff_t>(first)));
  CHECK(answer.end.reason == FinishReason::kStop);
  CHECK(answer.end.stop_token == solo[4]);
  CHECK(answer.end.usage.output_tokens == static_cast<int32_t>(first) + 1);

  SECTION("unless ignore_eos") {
    request = MakeRequest(Prompt(1, 5), Greedy(10));
    request->sampling.ignore_eos = true;
    REQUIRE(engine.Submit(request).ok());
    CHECK(Collect(*request->stream).tokens == solo);
  }
  SECTION("and cannot be chosen before min_tokens") {
    request = MakeRequest(Prompt(1, 5), Greedy(10));
    request->sampling.min_tokens = 10;
    REQUIRE(engine.Submit(request).ok());
    answer = Collect(*request->stream);
    CHECK(answer.tokens.size() == 10);
    CHECK(answer.tokens == SoloTokens(*request, 61, options.eos_tokens));
    CHECK(std::find(answer.tokens.begin(), answer.tokens.end(), solo[4]) == answer.tokens.end());
  }
  SECTION("and a request's own stop token does the same") {
    request = MakeRequest(Prompt(1, 5), Greedy(10));
    request->sampling.ignore_eos = true;
    request->sampling.stop_tokens = {solo[0]};
    REQUIRE(engine.Submit(request).ok());
    answer = Collect(*request->stream);
    CHECK(answer.tokens.empty());
    CHECK(answer.end.stop_token == solo[0]);
  }
}

TEST_CASE(
    "A second request with the same prompt finds its blocks, and the last token is computed all the same") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  const auto ask = [&](size_t length) {
    auto request = MakeRequest(Prompt(9, length), Greedy(4));
    REQUIRE(engine.Submit(request).ok());
    const Answer answer = Collect(*request->stream);
    CHECK(answer.tokens == SoloTokens(*request, 61));
    return answer.end.usage.cached_tokens;
  };
  CHECK(ask(48) == 0);
  CHECK(ask(48) == 32);  // 3 blocks are cached; the third would leave nothing to compute
  CHECK(ask(49) == 48);
  CHECK(ask(20) == 16);
  CHECK(engine.Status().prefix_hit_tokens == 32 + 48 + 16);
}

TEST_CASE("Without the prefix cache nothing is found") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  options.prefix_cache = false;
  Engine engine(model, options, BaseTask());
  engine.Start();
  for (int i = 0; i < 2; ++i) {
    auto request = MakeRequest(Prompt(9, 48), Greedy(4));
    REQUIRE(engine.Submit(request).ok());
    CHECK(Collect(*request->stream).end.usage.cached_tokens == 0);
  }
  CHECK(engine.Status().kv_blocks_cached == 0);
}

TEST_CASE("Token log-probabilities are those of the unmodified distribution") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto request = MakeRequest(Prompt(2, 6), Seeded(5, 3));
  request->sampling.logprobs = true;
  request->sampling.top_logprobs = 3;
  request->sampling.presence_penalty = 1.5f;
  REQUIRE(engine.Submit(request).ok());
  const Answer answer = Collect(*request->stream);
  REQUIRE(answer.logprobs.size() == 5);
  std::vector<int32_t> prefix = request->prompt;
  for (const TokenLogprob& logprob : answer.logprobs) {
    const std::vector<float> logits = FakeLogits(prefix, 61);
    double sum = 0.0;
    for (const float x : logits) sum += std::exp(static_cast<double>(x));
    CHECK(
        static_cast<double>(logprob.logprob) ==
        Approx(static_cast<double>(logits[static_cast<size_t>(logprob.token)]) - std::log(sum)).margin(1e-5));
    REQUIRE(logprob.top.size() == 3);
    CHECK(logprob.top[0].first == ArgMax(logits));
    CHECK(logprob.top[0].second >= logprob.top[1].second);
    prefix.push_back(logprob.token);
  }
}

TEST_CASE("Every logit row of a prompt is delivered once, in order, however few fit in a step") {
  FakeModel model({.max_outputs = 3});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  for (const int32_t max_tokens : {0, 4}) {
    auto request = MakeRequest(Prompt(4, 50), Greedy(max_tokens));
    request->sampling.prompt_logprobs = true;
    std::vector<int32_t> positions;
    bool equal = true;
    request->on_prompt_logits = [&](int32_t position, std::span<const float> logits) {
      positions.push_back(position);
      const std::span<const int32_t> prefix(request->prompt.data(), static_cast<size_t>(position) + 1);
      const std::vector<float> expected = FakeLogits(prefix, 61);
      equal = equal && std::equal(logits.begin(), logits.end(), expected.begin(), expected.end());
    };
    REQUIRE(engine.Submit(request).ok());
    const Answer answer = Collect(*request->stream);
    CHECK(answer.end.reason == FinishReason::kLength);
    CHECK(answer.tokens == SoloTokens(*request, 61));
    CHECK(equal);
    REQUIRE(positions.size() == 50);
    for (int32_t i = 0; i < 50; ++i) CHECK(positions[static_cast<size_t>(i)] == i);
    const std::vector<TokenLogprob> logprobs = request->stream->TakePromptLogprobs();
    REQUIRE(logprobs.size() == 49);
    CHECK(logprobs[0].token == request->prompt[1]);
    CHECK(logprobs[48].token == request->prompt[49]);
    CHECK(answer.end.usage.cached_tokens == 0);  // cached rows have no logits
  }
}

TEST_CASE("max_tokens 0 without scores computes the prompt and nothing else") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto request = MakeRequest(Prompt(4, 50), Greedy(0));
  REQUIRE(engine.Submit(request).ok());
  const Answer answer = Collect(*request->stream);
  CHECK(answer.end.reason == FinishReason::kLength);
  CHECK(answer.tokens.empty());
  CHECK(answer.end.usage.output_tokens == 0);
  CHECK(model.rows() == 50);
}

TEST_CASE("What can never be served is refused at once, with the numbers") {
  FakeModel model({.max_positions = 100, .kv_blocks = 4});
  Engine engine(model, SmallOptions(), BaseTask());
  const auto refusal = [&](const std::shared_ptr<Request>& request) { return engine.Submit(request); };

  absl::Status status = refusal(MakeRequest(Prompt(0, 10), Greedy(10), "absent"));
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(std::string(status.message()).find("\"absent\"") != std::string::npos);

  status = refusal(MakeRequest(Prompt(0, 90), Greedy(11)));
  CHECK(status.code() == absl::StatusCode::kOutOfRange);
  CHECK(status.message() ==
        "prompt (90 tokens) + max_tokens (11) = 101 tokens, but the model's context is 100; shorten the "
        "prompt or lower "
        "max_tokens");
  status = refusal(MakeRequest(Prompt(0, 60), Greedy(6)));  // 65 places of 64
  CHECK(status.code() == absl::StatusCode::kOutOfRange);
  CHECK(refusal(MakeRequest(Prompt(0, 60), Greedy(5))).ok());

  CHECK(refusal(MakeRequest({}, Greedy(5))).code() == absl::StatusCode::kInvalidArgument);
  CHECK(refusal(MakeRequest({61}, Greedy(5))).message() ==
        "prompt[0] is 61; expected a token id in [0, 61), the model's vocabulary");
  CHECK(refusal(MakeRequest({-1}, Greedy(5))).code() == absl::StatusCode::kInvalidArgument);
  for (const int32_t max_tokens : {-1, std::numeric_limits<int32_t>::min()}) {
    CHECK(refusal(MakeRequest({1}, Greedy(max_tokens))).code() == absl::StatusCode::kInvalidArgument);
  }
  CHECK(refusal(MakeRequest({1}, Greedy(std::numeric_limits<int32_t>::max()))).code() ==
        absl::StatusCode::kOutOfRange);
  auto biased = MakeRequest({1}, Greedy(5));
  biased->sampling.logit_bias = {{61, 1.0f}};
  CHECK(refusal(biased).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("A full queue and a full task refuse at once and say which it was") {
  FakeModel model;
  EngineOptions options = SmallOptions();
  options.max_queued = 3;
  Engine engine(model, options, {{.id = "", .max_queued = 10}, {.id = "small", .max_queued = 2}});
  const auto submit = [&](const std::string& task) {
    return engine.Submit(MakeRequest({1}, Greedy(1), task));
  };
  CHECK(submit("small").ok());
  CHECK(submit("small").ok());
  absl::Status status = submit("small");
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(std::string(status.message()).find("queue of task \"small\" is full: 2 of 2") != std::string::npos);
  CHECK(submit("").ok());
  status = submit("");
  CHECK(status.code() == absl::StatusCode::kResourceExhausted);
  CHECK(std::string(status.message()).find("request queue is full: 3 of 3") != std::string::npos);
  CHECK(engine.Status().tasks[1].rejected == 1);
  CHECK(engine.Status().tasks[1].requests == 2);
  CHECK(engine.Status().tasks[1].queued == 2);
}

TEST_CASE("Ten thousand requests that ask for all they may stay within the queue's bounds") {
  FakeModel model({.max_positions = std::numeric_limits<int32_t>::max()});
  EngineOptions options = SmallOptions();
  options.max_queued = 100;
  Engine engine(model, options, BaseTask());
  int accepted = 0;
  for (int i = 0; i < 10000; ++i) {
    if (engine.Submit(MakeRequest({1}, Greedy(64 * 16))).ok()) ++accepted;
    CHECK(engine.Submit(MakeRequest({1}, Greedy(std::numeric_limits<int32_t>::max()))).code() ==
          absl::StatusCode::kOutOfRange);
  }
  CHECK(accepted == 100);
}

TEST_CASE("Drain refuses new requests, lets the old ones end and says so") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  auto request = MakeRequest(Prompt(1, 5), Greedy(10));
  REQUIRE(engine.Submit(request).ok());
  engine.Start();
  CHECK(engine.Drain(absl::Minutes(1)));
  CHECK(Collect(*request->stream).tokens.size() == 10);
  CHECK(engine.Submit(MakeRequest({1}, Greedy(1))).code() == absl::StatusCode::kUnavailable);
  CHECK(engine.Status().draining);
}

TEST_CASE("Drain cancels what has not ended within its limit") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  auto request =
      MakeRequest(Prompt(1, 5), Greedy(100), "", /*stream_capacity=*/2);  // nobody reads: it pauses
  REQUIRE(engine.Submit(request).ok());
  engine.Start();
  CHECK_FALSE(engine.Drain(absl::Milliseconds(5)));
  const Answer answer = Collect(*request->stream);
  CHECK(answer.end.reason == FinishReason::kCancelled);
  CHECK(answer.end.status.code() == absl::StatusCode::kUnavailable);
}

TEST_CASE("Stop ends what waits, even in an engine that never started") {
  FakeModel model;
  auto request = MakeRequest({1}, Greedy(1));
  {
    Engine engine(model, SmallOptions(), BaseTask());
    REQUIRE(engine.Submit(request).ok());
  }
  CHECK(Collect(*request->stream).end.reason == FinishReason::kCancelled);
}

}  // namespace
}  // namespace guildhall
