// Tokens that may not come next, against the definitions of transformers' processors.
#include "engine/token_bans.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <set>
#include <vector>

#include "engine/sampler.h"

namespace guildhall {
namespace {

using Ids = std::vector<int32_t>;
constexpr int32_t kVocabulary = 6;

std::set<int32_t> Banned(const SamplingParams& params, const Ids& prompt, const Ids& output) {
  std::vector<float> logits(kVocabulary, 1.0f);
  TokenBans().Apply(params, prompt, output, logits);
  std::set<int32_t> banned;
  for (int32_t token = 0; token < kVocabulary; ++token) {
    if (std::isinf(logits[static_cast<size_t>(token)])) banned.insert(token);
  }
  return banned;
}

// The slow way: a token is banned if it would end an n-gram that is there already.
std::set<int32_t> Repeats(size_t size, const Ids& text) {
  std::set<int32_t> banned;
  for (int32_t token = 0; token < kVocabulary; ++token) {
    if (text.size() + 1 < size) continue;
    Ids last(text.end() - static_cast<std::ptrdiff_t>(size - 1), text.end());
    last.push_back(token);
    if (std::search(text.begin(), text.end(), last.begin(), last.end()) != text.end()) banned.insert(token);
  }
  return banned;
}

TEST_CASE("suppressed tokens are never chosen, those of the beginning not first") {
  SamplingParams params;
  params.suppress_tokens = {1, 3};
  params.begin_suppress_tokens = {2};
  CHECK(TokenBans::Any(params));
  CHECK(Banned(params, {0, 0}, {}) == std::set<int32_t>{1, 2, 3});
  CHECK(Banned(params, {0, 0}, {0}) == std::set<int32_t>{1, 3});
  CHECK_FALSE(TokenBans::Any(SamplingParams()));
}

TEST_CASE("the last token of a bad word does not follow its others, in prompt or output") {
  SamplingParams params;
  params.bad_words = {{5}, {1, 2}, {3, 3, 4}};
  CHECK(Banned(params, {0}, {}) == std::set<int32_t>{5});
  CHECK(Banned(params, {1}, {}) == std::set<int32_t>{2, 5});
  CHECK(Banned(params, {3}, {3}) == std::set<int32_t>{4, 5});
  CHECK(Banned(params, {3}, {}) == std::set<int32_t>{5});
}

TEST_CASE("no n-gram of prompt and output occurs twice") {
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    Ids prompt(1 + random() % 20), output(random() % 20);
    const auto kinds = 1 + random() % kVocabulary;
    for (Ids* ids : {&prompt, &output}) {
      for (int32_t& id : *ids) id = static_cast<int32_t>(random() % kinds);
    }
    SamplingParams params;
    params.no_repeat_ngram_size = static_cast<int32_t>(1 + random() % 6);
    Ids text = prompt;
    text.insert(text.end(), output.begin(), output.end());
    CAPTURE(prompt, output, params.no_repeat_ngram_size);
    REQUIRE(Banned(params, prompt, output) ==
            Repeats(static_cast<size_t>(params.no_repeat_ngram_size), text));
  }
}

TEST_CASE("a text that repeats itself takes no more time than its length") {
  const Ids prompt(1'000'000, 1);
  SamplingParams params;
  params.no_repeat_ngram_size = kMaxNoRepeatNgram;
  CHECK(Banned(params, prompt, {}) == std::set<int32_t>{1});  // hours, if each place were compared in full
}

TEST_CASE("the sampler chooses what is left, and says what left nothing") {
  Sampler sampler(kVocabulary);
  const std::vector<float> logits = {6, 5, 4, 3, 2, 1};
  SamplingParams params;
  params.temperature = 0.0f;
  const auto choose = [&](const Ids& prompt, const Ids& output) {
    return sampler.Sample(logits, params, prompt, output, {});
  };
  params.suppress_tokens = {0};
  params.bad_words = {{1, 1}};
  params.no_repeat_ngram_size = 2;
  CHECK(choose({2}, {}).value() == 1);
  CHECK(choose({2}, {1}).value() == 2);
  CHECK(choose({2, 1}, {2}).value() == 2);
  params.suppress_tokens = {0, 1, 2, 3, 4, 5};
  const auto none = choose({2}, {});
  CHECK(none.status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK_THAT(std::string(none.status().message()), Catch::Contains("suppress_tokens"));
}

TEST_CASE("top_p 0 keeps the likeliest token alone, top_k -1 all of them") {
  Sampler sampler(kVocabulary);
  const std::vector<float> logits = {0.0f, 0.1f, 0.2f, 0.1f, 0.2f, 0.0f};
  SamplingParams params;
  params.top_k = -1;
  std::set<int32_t> chosen;
  for (params.seed = 0; params.seed < 200; ++params.seed)
    chosen.insert(sampler.Sample(logits, params, Ids{0}, {}, {}).value());
  CHECK(chosen.size() == kVocabulary);
  params.top_p = 0.0f;
  for (params.seed = 0; params.seed < 50; ++params.seed)
    CHECK(sampler.Sample(logits, params, Ids{0}, {}, {}).value() == 2);
}

}  // namespace
}  // namespace guildhall
