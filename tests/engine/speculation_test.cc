// Prompt lookup: what is guessed, and that nobody can tell from the answer.
#include "engine/speculation.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>
#include <random>
#include <thread>

#include "engine/engine.h"
#include "engine/propose_drafts.h"
#include "tests/engine/answers.h"
#include "tests/engine/fake_model.h"

namespace guildhall {
namespace {

std::vector<int32_t> Proposed(Drafter& drafter, const std::vector<int32_t>& tokens, int64_t most = 100) {
  drafter.Propose(tokens, most);
  return {drafter.drafts().begin(), drafter.drafts().end()};
}

TEST_CASE("The longest suffix decides, and of equal ones the last place") {
  const auto find = [](std::vector<int32_t> tokens, int32_t min, int32_t max) {
    return FindNgram(tokens, min, max);
  };
  CHECK(find({1, 2, 3, 9, 2, 3}, 1, 4) == 3);
  CHECK(find({1, 2, 3, 9, 2, 3}, 2, 2) == 3);
  CHECK(find({1, 2, 3, 9, 2, 3}, 3, 4) == 0);
  CHECK(find({5, 6, 7, 8, 1, 6, 7, 9, 5, 6, 7}, 1, 3) == 3);  // three tokens at 3 beat two at 7
  CHECK(find({5, 6, 7, 8, 1, 6, 7, 9, 5, 6, 7}, 1, 2) == 7);
  CHECK(find({4, 4, 4}, 1, 5) == 2);  // overlaps its own end
  CHECK(find({4, 4, 4}, 2, 5) == 2);
  CHECK(find({1, 2, 3}, 1, 3) == 0);
  CHECK(find({1}, 1, 3) == 0);
  CHECK(find({}, 1, 3) == 0);
}

TEST_CASE("FindNgram agrees with a search that tries every length and place") {
  std::mt19937 random(4);
  for (int round = 0; round < 3000; ++round) {
    std::vector<int32_t> tokens(random() % 24);
    for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 3);
    const auto min = static_cast<int32_t>(1 + random() % 3);
    const auto max = min + static_cast<int32_t>(random() % 4);
    int64_t expected = 0;
    for (int64_t n = max; n >= min && expected == 0; --n) {
      for (int64_t end = static_cast<int64_t>(tokens.size()) - 1; end >= n; --end) {
        if (!std::equal(tokens.end() - n, tokens.end(), tokens.begin() + end - n)) continue;
        expected = end;
        break;
      }
    }
    REQUIRE(FindNgram(tokens, min, max) == expected);
  }
}

TEST_CASE("A guess is what followed, and goes on into itself where the text ends") {
  Drafter drafter({.max_draft_tokens = 4, .min_ngram = 2, .max_ngram = 3});
  CHECK(Proposed(drafter, {1, 2, 3, 4, 5, 6, 7, 1, 2}) == std::vector<int32_t>{3, 4, 5, 6});
  CHECK(Proposed(drafter, {1, 2, 3, 4, 5, 6, 7, 1, 2}, 2) == std::vector<int32_t>{3, 4});
  CHECK(Proposed(drafter, {1, 2, 3, 1, 2, 3}) == std::vector<int32_t>{1, 2, 3, 1});
  CHECK(Proposed(drafter, {8, 8, 8}) == std::vector<int32_t>{8, 8, 8, 8});
  CHECK(Proposed(drafter, {1, 2, 3}).empty());
  CHECK(Proposed(drafter, {1, 2, 1, 2}, 0).empty());
  Drafter off;
  CHECK_FALSE(off.enabled());
  CHECK(Proposed(off, {8, 8, 8}).empty());
}

TEST_CASE("Trust grows with hits, falls to what was right, and rests after misses") {
  const std::vector<int32_t> text(40, 7);
  Drafter drafter({.max_draft_tokens = 16, .min_ngram = 1, .max_ngram = 3});
  CHECK(Proposed(drafter, text).size() == 4);
  drafter.Verified(4, 4);
  CHECK(Proposed(drafter, text).size() == 8);
  drafter.Verified(2, 2);  // the step had room for two only: no reason to trust less
  CHECK(Proposed(drafter, text).size() == 8);
  drafter.Verified(8, 8);
  CHECK(Proposed(drafter, text).size() == 16);
  drafter.Verified(16, 16);
  CHECK(Proposed(drafter, text).size() == 16);
  drafter.Verified(16, 5);
  CHECK(Proposed(drafter, text).size() == 6);
  // Steps without a guess between one miss and the next.
  std::vector<int> rests;
  for (int miss = 0; miss < 9; ++miss) {
    drafter.Verified(static_cast<int32_t>(drafter.drafts().size()), 0);
    int rest = 0;
    while (Proposed(drafter, text).empty()) ++rest;
    CHECK(drafter.drafts().size() == 1);
    rests.push_back(rest);
  }
  CHECK(rests == std::vector<int>{0, 1, 3, 7, 15, 31, 32, 32, 32});
  drafter.Verified(1, 1);
  CHECK(Proposed(drafter, text).size() == 2);
}

TEST_CASE("A search's work is bounded, however the text repeats itself") {
  // Each earlier place equals the last 63 tokens and differs in the one before.
  std::vector<int32_t> text(1 << 17, 7);
  text[text.size() - 64] = 8;
  int64_t compared = 0;
  CHECK(FindNgram(text, 64, 64, &compared) == 0);
  CHECK(compared > kMostCompared);
  CHECK(compared <= kMostCompared + kMaxNgram + kSearchedTokens);
  // Where nothing repeats, all that is searched is looked at once.
  std::iota(text.begin(), text.end(), 0);
  CHECK(FindNgram(text, 1, 64, &compared) == 0);
  CHECK(compared <= kSearchedTokens + 1);
  text[text.size() - 1] = text[text.size() - 1 - kSearchedTokens];
  CHECK(FindNgram(text, 1, 64) == static_cast<int64_t>(text.size()) - kSearchedTokens);
  text[text.size() - 1] = text[text.size() - 2 - kSearchedTokens];
  CHECK(FindNgram(text, 1, 64) == 0);
}

TEST_CASE("Searches of a long text that find nothing rest, those of a short one do not") {
  const auto rests = [](size_t size) {
    std::vector<int32_t> text(size), again;
    std::iota(text.begin(), text.end(), 0);
    again = text;
    again.push_back(0);
    std::vector<int> waited;
    for (int fruitless = 1; fruitless <= 6; ++fruitless) {
      Drafter drafter({.max_draft_tokens = 4, .min_ngram = 1, .max_ngram = 3});
      // The fruitless searches, with the rests behind each but the last.
      const int rest[] = {0, 1, 3, 7, 7};
      for (int i = 0; i < fruitless; ++i) {
        CHECK(Proposed(drafter, text).empty());
        if (i + 1 == fruitless) break;
        for (int r = 0; r < std::min(rest[i], static_cast<int>(size / 1024)); ++r) drafter.Propose(text, 9);
      }
      int steps = 0;
      while (Proposed(drafter, again).empty()) ++steps;
      waited.push_back(steps);
    }
    return waited;
  };
  CHECK(rests(100) == std::vector<int>{0, 0, 0, 0, 0, 0});
  CHECK(rests(2500) == std::vector<int>{0, 1, 2, 2, 2, 2});
  CHECK(rests(20000) == std::vector<int>{0, 1, 3, 7, 7, 7});
}

TEST_CASE("Nobody guesses where decoding leaves no logit row, and no more than it leaves") {
  std::vector<std::unique_ptr<Sequence>> running;
  for (int i = 0; i < 3; ++i) {
    running.push_back(std::make_unique<Sequence>());
    Sequence& sequence = *running.back();
    sequence.request = MakeRequest({5, 5, 5, 5, 5, 5, 5, 5}, Greedy(100));
    sequence.tokens = sequence.request->prompt;
    sequence.prompt_tokens = 8;
    sequence.computed = i < 2 ? 7 : 4;  // the last one is a prompt
    sequence.drafter = Drafter({.max_draft_tokens = 8, .min_ngram = 1, .max_ngram = 3});
  }
  const auto guessed = [&](int64_t outputs) {
    ProposeDrafts(running, outputs);
    CHECK(running[2]->drafter.drafts().empty());
    CHECK(running[0]->drafter.drafts().size() == running[1]->drafter.drafts().size());
    return running[0]->drafter.drafts().size();
  };
  CHECK(guessed(64) == 4);
  CHECK(guessed(4) == 2);
  CHECK(guessed(2) == 0);
  CHECK(guessed(1) == 0);
}

// A prompt in which phrases come again.
std::vector<int32_t> RepeatingPrompt(std::mt19937& random) {
  std::vector<int32_t> phrase(3 + random() % 6);
  for (int32_t& token : phrase) token = static_cast<int32_t>(random() % 61);
  std::vector<int32_t> prompt;
  for (size_t i = 0; i < 1 + random() % 5; ++i) {
    prompt.insert(prompt.end(), phrase.begin(), phrase.end());
    if (random() % 2 == 0) prompt.push_back(static_cast<int32_t>(random() % 61));
  }
  return prompt;
}

SamplingParams RandomSampling(std::mt19937& random) {
  SamplingParams params = random() % 2 == 0 ? Greedy(1 + static_cast<int32_t>(random() % 60))
                                            : Seeded(1 + static_cast<int32_t>(random() % 60), random());
  params.temperature = random() % 3 == 0 ? 0.3f : params.temperature;
  // A few favoured tokens: texts that sampling repeats, though never for sure.
  for (int i = 0; i < 4; ++i) params.logit_bias.emplace_back(static_cast<int32_t>(random() % 61), 8.0f);
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  params.logit_bias.erase(std::unique(params.logit_bias.begin(), params.logit_bias.end(),
                                      [](const auto& a, const auto& b) { return a.first == b.first; }),
                          params.logit_bias.end());
  if (random() % 3 == 0) params.repetition_penalty = 1.2f;
  if (random() % 3 == 0) params.frequency_penalty = 0.4f;
  if (random() % 3 == 0) params.presence_penalty = -0.7f;
  if (random() % 3 == 0) params.stop_tokens = {static_cast<int32_t>(random() % 61)};
  if (random() % 4 == 0) params.min_tokens = params.max_tokens / 2;
  if (random() % 4 == 0) params.top_p = 0.9f;
  if (random() % 2 == 0) {
    params.logprobs = true;
    params.top_logprobs = static_cast<int32_t>(random() % 4);
  }
  params.prompt_logprobs = random() % 5 == 0;
  return params;
}

bool Equal(const TokenLogprob& a, const TokenLogprob& b) {
  return a.token == b.token && a.logprob == b.logprob && a.top == b.top;
}

bool Equal(const std::vector<TokenLogprob>& a, const std::vector<TokenLogprob>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return Equal(x, y); });
}

struct Served {
  Answer answer;
  std::vector<TokenLogprob> prompt_logprobs;
};

// The same requests over a fresh engine, with neighbours that differ from run to run.
std::vector<Served> Serve(const std::vector<Request>& requests, bool speculate, uint32_t seed,
                          EngineStatus* status) {
  std::mt19937 random(seed);
  FakeModel model({.kv_blocks = 24, .memory = 3});
  EngineOptions options = SmallOptions();
  options.token_budget = 8 + static_cast<int>(random() % 60);
  options.prefill_chunk = 1 + static_cast<int>(random() % static_cast<uint32_t>(options.token_budget));
  options.max_running = 2 + static_cast<int>(random() % 6);
  options.eos_tokens = {60};
  Engine engine(model, options, BaseTask());
  std::vector<std::shared_ptr<Request>> asked;
  for (const Request& request : requests) {
    asked.push_back(std::make_shared<Request>(request));
    asked.back()->stream = std::make_shared<TokenStream>(1 + random() % 6);
    if (!speculate) asked.back()->speculation = {};
    REQUIRE(engine.Submit(asked.back()).ok());
  }
  std::vector<std::thread> readers;
  std::vector<Served> served(requests.size());
  engine.Start();
  for (size_t i = 0; i < asked.size(); ++i) {
    readers.emplace_back([&, i] {
      served[i].answer = Collect(*asked[i]->stream);
      served[i].prompt_logprobs = asked[i]->stream->TakePromptLogprobs();
    });
  }
  for (std::thread& reader : readers) reader.join();
  *status = engine.Status();
  CHECK(status->kv_blocks_free == 24);
  return served;
}

TEST_CASE("With and without speculation every event is the same to the bit") {
  int64_t all_accepted = 0;
  uint64_t preemptions = 0;
  for (uint32_t seed = 1; seed < 9; ++seed) {
    std::mt19937 random(seed);
    std::vector<Request> requests(40);
    for (Request& request : requests) {
      request.prompt = RepeatingPrompt(random);
      request.sampling = RandomSampling(random);
      if (random() % 3 == 0) request.adapters = MakeSet(1 + random() % 3);
      request.speculation = {.max_draft_tokens = 1 + static_cast<int32_t>(random() % 12),
                             .min_ngram = 1 + static_cast<int32_t>(random() % 2),
                             .max_ngram = 2 + static_cast<int32_t>(random() % 4)};
    }
    EngineStatus plain_status, status;
    const std::vector<Served> plain = Serve(requests, false, 2 * seed, &plain_status);
    const std::vector<Served> speculated = Serve(requests, true, 2 * seed + 1, &status);
    int64_t drafted = 0, accepted = 0;
    for (size_t i = 0; i < requests.size(); ++i) {
      const Answer& a = plain[i].answer;
      const Answer& b = speculated[i].answer;
      CAPTURE(seed, i);
      CHECK(a.tokens == b.tokens);
      CHECK(Equal(a.logprobs, b.logprobs));
      CHECK(Equal(plain[i].prompt_logprobs, speculated[i].prompt_logprobs));
      CHECK(a.end.reason == b.end.reason);
      CHECK(a.end.stop_token == b.end.stop_token);
      CHECK(a.end.status == b.end.status);
      CHECK(a.end.usage.output_tokens == b.end.usage.output_tokens);
      CHECK(a.end.usage.drafted_tokens == 0);
      CHECK(b.end.usage.accepted_tokens <= b.end.usage.drafted_tokens);
      CHECK(b.end.usage.accepted_tokens <= b.end.usage.output_tokens);
      std::vector<int32_t> solo = SoloTokens(requests[i], 61, {60}, {}, 3);
      if (b.end.stop_token >= 0) solo.pop_back();
      CHECK(b.tokens == solo);
      drafted += b.end.usage.drafted_tokens;
      accepted += b.end.usage.accepted_tokens;
    }
    CHECK(plain_status.tasks[0].drafted_tokens == 0);
    CHECK(status.tasks[0].drafted_tokens == static_cast<uint64_t>(drafted));
    CHECK(status.tasks[0].accepted_tokens == static_cast<uint64_t>(accepted));
    all_accepted += accepted;
    preemptions += status.preemptions;
  }
  CHECK(all_accepted > 0);
  CHECK(preemptions > 0);
}

TEST_CASE("Text that repeats itself takes a fraction of the steps") {
  const auto steps = [](int32_t max_draft_tokens) {
    FakeModel model({.memory = 1});  // a greedy walk over 61 tokens: soon a cycle
    Engine engine(model, SmallOptions(), BaseTask());
    auto request = MakeRequest({5, 6, 7}, Greedy(300));
    request->speculation = {.max_draft_tokens = max_draft_tokens, .min_ngram = 1, .max_ngram = 4};
    REQUIRE(engine.Submit(request).ok());
    engine.Start();
    const Answer answer = Collect(*request->stream);
    CHECK(answer.tokens == SoloTokens(*request, 61, {}, {}, 1));
    // Each step gives one token of its own and the accepted ones.
    CHECK(engine.Status().steps + static_cast<uint64_t>(answer.end.usage.accepted_tokens) == 300);
    return engine.Status().steps;
  };
  CHECK(steps(0) == 300);
  CHECK(steps(8) < 100);
  CHECK(steps(32) < 60);
}

TEST_CASE("A row of a wrong draft may be anything, not a number included") {
  // The poison follows "1 2" in the prompt; the model goes on otherwise, so the guess is wrong.
  std::vector<int32_t> prompt = {1, 2, 59, 59, 1, 2};
  auto request = MakeRequest(prompt, Greedy(12));
  request->sampling.logit_bias = {{59, -100.0f}};
  request->speculation = {.max_draft_tokens = 4, .min_ngram = 1, .max_ngram = 4};
  const std::vector<int32_t> solo = SoloTokens(*request, 61);
  FakeModel model({.poison = 59});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  // The last prompt row's token is not poisoned: only drafts are.
  request->sampling.stop_tokens = {};
  REQUIRE(engine.Submit(request).ok());
  const Answer answer = Collect(*request->stream);
  CHECK(answer.end.status.ok());
  CHECK(answer.tokens == solo);
  CHECK(engine.Status().consecutive_numeric_failures == 0);
}

TEST_CASE("Prefixes that speculation left behind serve later prompts of the same text") {
  FakeModel model({.memory = 1});
  Engine engine(model, SmallOptions(), BaseTask());
  engine.Start();
  auto first = MakeRequest({5, 6, 7}, Greedy(80));
  first->speculation = {.max_draft_tokens = 16, .min_ngram = 1, .max_ngram = 4};
  REQUIRE(engine.Submit(first).ok());
  const Answer answer = Collect(*first->stream);
  CHECK(answer.end.usage.accepted_tokens > 20);
  std::vector<int32_t> prompt = {5, 6, 7};
  prompt.insert(prompt.end(), answer.tokens.begin(), answer.tokens.end());
  auto second = MakeRequest(prompt, Greedy(10));
  REQUIRE(engine.Submit(second).ok());
  const Answer next = Collect(*second->stream);
  CHECK(next.tokens == SoloTokens(*second, 61, {}, {}, 1));
  CHECK(next.end.usage.cached_tokens == 80);  // of 83; the model checks what stands in each slot
}

TEST_CASE("Parameters of speculation out of bounds are refused by name") {
  FakeModel model;
  Engine engine(model, SmallOptions(), BaseTask());
  const auto refusal = [&](Speculation speculation) {
    auto request = MakeRequest({1, 2}, Greedy(4));
    request->speculation = speculation;
    return std::string(engine.Submit(request).message());
  };
  CHECK_THAT(refusal({.max_draft_tokens = -1}), Catch::Contains("max_draft_tokens is -1"));
  CHECK_THAT(refusal({.max_draft_tokens = 65}), Catch::Contains("0 to 64"));
  CHECK_THAT(refusal({.max_draft_tokens = 4, .min_ngram = 0}), Catch::Contains("min_ngram is 0"));
  CHECK_THAT(refusal({.max_draft_tokens = 4, .min_ngram = 5, .max_ngram = 4}),
             Catch::Contains("1 to max_ngram (4)"));
  CHECK_THAT(refusal({.max_draft_tokens = 4, .min_ngram = 2, .max_ngram = 65}),
             Catch::Contains("at most 64"));
}

}  // namespace
}  // namespace guildhall
