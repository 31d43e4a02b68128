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
  CHECK_THAT(Refusal({{"top_p", -0.5}}), Contains("top_p: expected a number from 0 to 1, found -0.5"));
  CHECK_THAT(Refusal({{"top_p", 1.5}}), Contains("found 1.5"));
  CHECK_THAT(Refusal({{"top_k", -2}}), Contains("top_k: expected an integer from -1"));
  CHECK_THAT(Refusal({{"top_k", 1.5}}), Contains("found 1.5"));
  CHECK_THAT(Refusal({{"repetition_penalty", 0}}), Contains("repetition_penalty: expected a number above 0"));
  CHECK_THAT(Refusal({{"do_sample", 1}}), Contains("do_sample: expected true or false"));
  CHECK_THAT(Refusal({{"eos_token_id", "x"}}), Contains("eos_token_id: expected a token id"));
  CHECK_THAT(Refusal(Json::array()), Contains("expected an object"));
}

TEST_CASE("generation config: live keys that are not honoured are listed, neutral ones are not") {
  const GenerationConfig config = Good({{"num_beams", 4},
                                        {"typical_p", 1.0},
                                        {"encoder_no_repeat_ngram_size", 0},
                                        {"forced_eos_token_id", {1, 2}},
                                        {"force_words_ids", Json::array()},
                                        {"transformers_version", "5"}});
  CHECK(config.not_honoured == std::vector<std::string>{"num_beams", "forced_eos_token_id"});
  CHECK(GenerationNotes(config) ==
        std::vector<std::string>{"generation_config.json: num_beams: not honoured",
                                 "generation_config.json: forced_eos_token_id: not honoured"});
}

TEST_CASE("generation config: what may not be said is read, and ids of no row are left out with a note") {
  const GenerationConfig config = Good({{"suppress_tokens", {1, 2}},
                                        {"begin_suppress_tokens", 3},
                                        {"bad_words_ids", {{4}, {5, 6}, {7, 100}}},
                                        {"no_repeat_ngram_size", 3},
                                        {"min_new_tokens", 2},
                                        {"stop_strings", "END"},
                                        {"top_k", -1},
                                        {"top_p", 0},
                                        {"eos_token_id", {5, 100}}});
  CHECK(config.suppress_tokens == std::vector<int64_t>{1, 2});
  CHECK(config.begin_suppress_tokens == std::vector<int64_t>{3});
  CHECK(config.bad_words_ids == std::vector<std::vector<int64_t>>{{4}, {5, 6}});
  CHECK(config.no_repeat_ngram_size == 3);
  CHECK(config.min_new_tokens == 2);
  CHECK(config.stop_strings == std::vector<std::string>{"END"});
  CHECK(config.top_k == -1);
  CHECK(config.top_p == 0.0);
  CHECK(config.not_honoured.empty());
  REQUIRE(config.notes.size() == 2);
  CHECK_THAT(config.notes[0], Contains("bad_words_ids") && Contains("[7,100] is outside the vocabulary"));
  CHECK_THAT(config.notes[1], Contains("eos_token_id") && Contains("100 is outside the vocabulary"));
  CHECK_THAT(Refusal({{"bad_words_ids", {1}}}), Contains("bad_words_ids: expected a list of lists"));
  CHECK_THAT(Refusal({{"bad_words_ids", {{-1}}}}), Contains("bad_words_ids: expected a list of lists"));
  CHECK_THAT(Refusal({{"stop_strings", {1}}}), Contains("stop_strings: expected a text or a list"));
  CHECK_THAT(Refusal({{"suppress_tokens", "x"}}), Contains("suppress_tokens: expected a token id"));
}

TEST_CASE("generation config: keys that an operator names count as absent") {
  const Json json = {{"temperature", "hot"}, {"top_k", 5}, {"num_beams", 4}};
  const auto config = ParseGenerationConfig(json, 100, {"temperature", "num_beams", "absent"});
  REQUIRE(config.ok());
  CHECK_FALSE(config->temperature);
  CHECK(config->top_k == 5);
  CHECK(config->not_honoured.empty());
}

}  // namespace
}  // namespace guildhall
