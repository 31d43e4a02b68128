#include "checkpoint/generation_config.h"

#include <catch2/catch.hpp>
#include <string>

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

GenerationConfig Good(const Json& json) {
  const auto config = ParseGenerationConfig(json, 100);
  INFO(config.status().ToString());
  REQUIRE(config.ok());
  return *config;
}

std::string Refusal(const Json& json) {
  const auto config = ParseGenerationConfig(json, 100);
  if (config.ok()) return "accepted";
  CHECK(config.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST_CASE("generation config: absent and null keys are unset") {
  for (const Json& json : {Json::object(), Json{{"temperature", nullptr}, {"eos_token_id", nullptr}}}) {
    const GenerationConfig config = Good(json);
    CHECK_FALSE(config.do_sample);
    CHECK_FALSE(config.temperature);
    CHECK_FALSE(config.eos_tokens);
    CHECK(config.not_honoured.empty());
  }
}

TEST_CASE("generation config: one last token or several") {
  CHECK(Good({{"eos_token_id", 5}}).eos_tokens == std::vector<int32_t>{5});
  CHECK(Good({{"eos_token_id", {5, 6}}}).eos_tokens == std::vector<int32_t>{5, 6});
  CHECK(Good({{"eos_token_id", {5, 128009}}}).eos_tokens == std::vector<int32_t>{5});
}

TEST_CASE("generation config: values out of range name the key") {
  CHECK_THAT(Refusal({{"temperature", -1}}), Contains("temperature: expected a number from 0"));
  CHECK_THAT(Refusal({{"top_p", 0}}), Contains("top_p: expected a number above 0 to 1, found 0"));
  CHECK_THAT(Refusal({{"top_p", 1.5}}), Contains("found 1.5"));
  CHECK_THAT(Refusal({{"top_k", -1}}), Contains("top_k: expected an integer from 0"));
  CHECK_THAT(Refusal({{"top_k", 1.5}}), Contains("found 1.5"));
  CHECK_THAT(Refusal({{"repetition_penalty", 0}}), Contains("repetition_penalty: expected a number above 0"));
  CHECK_THAT(Refusal({{"do_sample", 1}}), Contains("do_sample: expected true or false"));
  CHECK_THAT(Refusal({{"eos_token_id", "x"}}), Contains("eos_token_id: expected a token id"));
  CHECK_THAT(Refusal(Json::array()), Contains("expected an object"));
}

TEST_CASE("generation config: live keys that are not honoured are listed, neutral ones are not") {
  const GenerationConfig config = Good({{"num_beams", 4},
                                        {"typical_p", 1.0},
                                        {"no_repeat_ngram_size", 0},
                                        {"suppress_tokens", {1, 2}},
                                        {"bad_words_ids", Json::array()},
                                        {"transformers_version", "5"}});
  CHECK(config.not_honoured == std::vector<std::string>{"num_beams", "suppress_tokens"});
}

}  // namespace
}  // namespace guildhall
