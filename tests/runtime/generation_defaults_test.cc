// generation_config.json means what it means to transformers.
#include "runtime/generation_defaults.h"

#include <catch2/catch.hpp>

#include "base/json.h"

namespace guildhall {
namespace {

absl::StatusOr<PartialSampling> Defaults(const char* text) {
  const auto json = ParseJson(text, "generation_config.json");
  REQUIRE(json.ok());
  const auto config = ParseGenerationConfig(*json, /*vocabulary=*/100);
  REQUIRE(config.ok());
  return GenerationDefaults(*config);
}

}  // namespace

TEST_CASE("a model that samples has its authors' values") {
  const auto defaults = Defaults(R"({"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95,
                                     "repetition_penalty": 1.05, "max_new_tokens": 64})");
  REQUIRE(defaults.ok());
  CHECK(defaults->temperature == 0.6);
  CHECK(defaults->top_k == 20);
  CHECK(defaults->top_p == 0.95);
  CHECK_FALSE(defaults->min_p.has_value());
  CHECK(defaults->repetition_penalty == 1.05);
  CHECK(defaults->max_tokens == 64);
}

TEST_CASE("what a model's authors forbid is a default of every request") {
  const auto defaults =
      Defaults(R"({"suppress_tokens": [1, 2], "begin_suppress_tokens": [3], "min_new_tokens": 2,
                                     "bad_words_ids": [[4], [9], [5, 6]], "no_repeat_ngram_size": 3,
                                     "stop_strings": ["END"], "eos_token_id": 9})");
  REQUIRE(defaults.ok());
  CHECK(defaults->suppress_tokens == std::vector<int64_t>{1, 2});
  CHECK(defaults->begin_suppress_tokens == std::vector<int64_t>{3});
  CHECK(defaults->bad_words_ids == std::vector<std::vector<int64_t>>{{4}, {5, 6}});  // 9 ends the text
  CHECK(defaults->no_repeat_ngram_size == 3);
  CHECK(defaults->min_tokens == 2);
  CHECK(defaults->stop == std::vector<std::string>{"END"});
  CHECK_FALSE(defaults->temperature.has_value());
}

TEST_CASE("without do_sample the answer is greedy, whatever the other keys say") {
  CHECK(Defaults(R"({"do_sample": false})")->temperature == 0.0);
  CHECK(Defaults(R"({"do_sample": false, "temperature": 0.6})")->temperature == 0.0);
  CHECK(Defaults(R"({"temperature": 0.6})")->temperature == 0.0);
  CHECK(Defaults(R"({"do_sample": null, "top_p": 0.9})")->temperature == 0.0);
}

TEST_CASE("a file that does not speak of sampling leaves it to the server's configuration") {
  const auto defaults = Defaults(R"({"eos_token_id": 2, "repetition_penalty": 1.1})");
  CHECK_FALSE(defaults->temperature.has_value());
  CHECK(defaults->repetition_penalty == 1.1);
  PartialSampling server;
  server.temperature = 0.3;
  CHECK(Merge(*defaults, server).temperature == 0.3);
}

TEST_CASE("what the file says and requests may not is refused by its key") {
  const auto refusal = [](const char* text) { return std::string(Defaults(text).status().message()); };
  CHECK(refusal(R"({"do_sample": true, "temperature": 101})") ==
        "generation_config.json: temperature: expected a number from 0 to 100, found 101");
  CHECK(refusal(R"({"do_sample": true, "min_p": 1})") ==
        "generation_config.json: min_p: expected a number from 0 to 0.999, found 1");
}

}  // namespace guildhall
