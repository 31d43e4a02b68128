// Rope parameters in both generations of config.json.
#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "checkpoint/hf_config.h"

namespace guildhall {
namespace {

using Catch::Matchers::Contains;

Json Base() {
  return {{"model_type", "llama"},
          {"hidden_size", 64},
          {"num_attention_heads", 4},
          {"max_position_embeddings", 1000}};
}

HfConfig Good(const Json& extra) {
  Json json = Base();
  json.update(extra);
  Problems problems;
  HfConfig config = ReadHfConfig(json, {}, problems);
  INFO(problems.ToStatus().ToString());
  CHECK(problems.empty());
  return config;
}
RopeSpec Rope(const Json& extra) {
  return Good(extra).spec.attention.rope;
}

std::string Refusal(const Json& extra, const CheckpointOptions& options = {}) {
  Json json = Base();
  json.update(extra);
  Problems problems;
  ReadHfConfig(json, options, problems);
  return problems.empty() ? "accepted" : problems.list().front().text;
}

// The same parameters as 4.x and as 5.x write them.
Json Older(double theta, const Json& scaling) {
  return {{"rope_theta", theta}, {"rope_scaling", scaling}};
}
Json Newer(double theta, Json parameters) {
  parameters["rope_theta"] = theta;
  return {{"rope_parameters", parameters}};
}

void CheckSame(const RopeSpec& a, const RopeSpec& b) {
  CHECK(a.kind == b.kind);
  CHECK(a.theta == b.theta);
  CHECK(a.rotary_dim == b.rotary_dim);
  CHECK(a.factor == b.factor);
  CHECK(a.original_max_positions == b.original_max_positions);
  CHECK(a.attention_factor == b.attention_factor);
  CHECK(a.beta_fast == b.beta_fast);
  CHECK(a.beta_slow == b.beta_slow);
  CHECK(a.truncate == b.truncate);
  CHECK(a.low_freq_factor == b.low_freq_factor);
  CHECK(a.high_freq_factor == b.high_freq_factor);
}

TEST_CASE("rope: both generations of keys give the same spec for every kind") {
  const Json kind = GENERATE(Json{{"rope_type", "default"}}, Json{{"rope_type", "linear"}, {"factor", 2.5}},
                             Json{{"rope_type", "dynamic"}, {"factor", 3.0}},
                             Json{{"rope_type", "yarn"},
                                  {"factor", 4.0},
                                  {"original_max_position_embeddings", 250},
                                  {"beta_fast", 20},
                                  {"beta_slow", 2},
                                  {"truncate", false}},
                             Json{{"rope_type", "llama3"},
                                  {"factor", 8.0},
                                  {"low_freq_factor", 1.5},
                                  {"high_freq_factor", 5.0},
                                  {"original_max_position_embeddings", 125}});
  INFO(DumpJson(kind));
  Json with_type = kind;
  with_type["type"] = kind["rope_type"];
  with_type.erase("rope_type");
  const RopeSpec newer = Rope(Newer(5000.0, kind));
  CheckSame(newer, Rope(Older(5000.0, kind)));
  CheckSame(newer, Rope(Older(5000.0, with_type)));
  // A file with both, as tools write it in passing.
  Json both = Older(5000.0, with_type);
  both.update(Newer(5000.0, kind));
  CheckSame(newer, Rope(both));
  CHECK(newer.theta == 5000.0);
  CHECK(newer.rotary_dim == 16);
}

TEST_CASE("rope: values of each kind") {
  CHECK(Rope(Json::object()).kind == RopeSpec::Kind::kDefault);
  CHECK(Rope({{"rope_scaling", nullptr}}).theta == 10000.0);
  CHECK(Rope(Older(1e4, {{"type", "linear"}, {"factor", 2}})).kind == RopeSpec::Kind::kLinear);
  const RopeSpec dynamic = Rope(Older(1e4, {{"type", "dynamic"}, {"factor", 3}}));
  CHECK(dynamic.kind == RopeSpec::Kind::kDynamicNtk);
  CHECK(dynamic.original_max_positions == 1000);  // of max_position_embeddings
  const RopeSpec llama3 = Rope(
      Older(1e4, {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}, {"high_freq_factor", 4}}));
  CHECK(llama3.original_max_positions == 1000);
}

TEST_CASE("rope: yarn's attention factor is the given one, the ratio of two mscales, or its default") {
  const auto factor = [](Json parameters) {
    parameters["rope_type"] = "yarn";
    if (!parameters.contains("factor")) parameters["factor"] = 4.0;
    return Rope(Older(1e4, parameters)).attention_factor;
  };
  const double plain = 0.1 * std::log(4.0) + 1.0;
  CHECK(factor({}) == Approx(plain));
  CHECK(factor({{"attention_factor", 1.3}}) == 1.3);
  CHECK(factor({{"mscale", 1.0}, {"mscale_all_dim", 0.707}}) ==
        Approx(plain / (0.0707 * std::log(4.0) + 1.0)));
  CHECK(factor({{"mscale", 2.0}}) == Approx(plain));  // one alone changes nothing
  CHECK(factor({{"mscale_all_dim", 2.0}}) == Approx(plain));
  CHECK(factor({{"mscale", 0.0}, {"mscale_all_dim", 1.0}}) == Approx(plain));
  CHECK(factor({{"factor", 1.0}}) == 1.0);
  CHECK(factor({{"factor", 0.5}}) == 1.0);
}

TEST_CASE("rope: yarn's betas of 0 or null are the defaults, a null factor is the ratio of the lengths") {
  const RopeSpec yarn = Rope(Older(1e4, {{"rope_type", "yarn"},
                                         {"factor", nullptr},
                                         {"beta_fast", 0},
                                         {"beta_slow", nullptr},
                                         {"original_max_position_embeddings", 250}}));
  CHECK(yarn.factor == 4.0);
  CHECK(yarn.beta_fast == 32.0);
  CHECK(yarn.beta_slow == 1.0);
  CHECK(yarn.truncate);
  CHECK_THAT(Refusal(Older(1e4, {{"rope_type", "yarn"}})),
             Contains("rope_scaling.factor: the key is missing"));
}

TEST_CASE("rope: the context is what the scaling was made for") {
  CHECK(Good(Older(1e4, {{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 1000}}))
            .spec.max_positions == 4000);
  CHECK(Good(Older(1e4, {{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 250}}))
            .spec.max_positions == 1000);
  CHECK(Good(Older(1e4, {{"type", "dynamic"}, {"factor", 3}})).spec.max_positions == 3000);
  CHECK(Good(Older(1e4, {{"type", "linear"}, {"factor", 3}})).spec.max_positions == 1000);
  CheckpointOptions options;
  options.max_positions = 123;
  Problems problems;
  CHECK(ReadHfConfig(Base(), options, problems).spec.max_positions == 123);
}

TEST_CASE("rope: contradictions are refused, agreement is not") {
  CHECK(Refusal({{"rope_theta", 5000}, {"rope_parameters", {{"rope_theta", 5000.0}}}}) == "accepted");
  CHECK_THAT(
      Refusal({{"rope_theta", 6000}, {"rope_parameters", {{"rope_theta", 5000.0}}}}),
      Contains("config.json: rope_theta: expected the value inside the rope parameters (5000), found 6000"));
  CHECK_THAT(Refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}},
                      {"rope_parameters", {{"rope_type", "default"}}}}),
             Contains("rope_scaling: expected what rope_parameters says"));
  CHECK_THAT(Refusal({{"rope_scaling", {{"type", "linear"}, {"rope_type", "dynamic"}, {"factor", 2}}}}),
             Contains("rope_scaling.type: expected the same value as rope_type"));
  CHECK_THAT(Refusal({{"original_max_position_embeddings", 300},
                      {"rope_scaling",
                       {{"type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 400}}}}),
             Contains("original_max_position_embeddings"));
  CHECK(Rope({{"original_max_position_embeddings", 300}, {"rope_scaling", {{"type", "yarn"}, {"factor", 2}}}})
            .original_max_positions == 300);
}

TEST_CASE("rope: parameters per layer type are taken when they are equal and refused when they differ") {
  const Json linear = {{"rope_type", "linear"}, {"factor", 2.0}, {"rope_theta", 7000.0}};
  Json other = linear;
  other["factor"] = 3.0;
  CHECK(Rope({{"rope_parameters", {{"full_attention", linear}, {"sliding_attention", linear}}}}).theta ==
        7000.0);
  CHECK_THAT(Refusal({{"rope_parameters", {{"full_attention", linear}, {"sliding_attention", other}}}}),
             Contains("the same parameters for every layer type"));
  CHECK_THAT(Refusal({{"rope_parameters", {{"full_attention", linear}, {"factor", 2.0}}}}),
             Contains("either one set"));
}

TEST_CASE("rope: kinds and keys that are not served are refused by name") {
  for (const char* kind : {"longrope", "su", "mrope", "proportional", "new"}) {
    CHECK_THAT(Refusal({{"rope_scaling", {{"rope_type", kind}, {"factor", 2}}}}),
               Contains("rope_scaling.rope_type: expected default, linear, dynamic, yarn or llama3"));
  }
  const Json typo = {{"rope_scaling", {{"rope_type", "linear"}, {"factor", 2}, {"beta_fats", 3}}}};
  CHECK_THAT(Refusal(typo),
             Contains("rope_scaling.\"beta_fats\": unknown key") && Contains("did you mean \"beta_fast\"?"));
  CheckpointOptions options;
  options.ignore_config_keys = {"rope_scaling.beta_fats"};
  CHECK(Refusal(typo, options) == "accepted");
  CHECK_THAT(Refusal({{"rope_scaling", {{"factor", 2}}}}), Contains("no factor without a rope_type"));
  CHECK_THAT(Refusal({{"rope_scaling", "linear"}}), Contains("rope_scaling: expected an object"));
  CHECK_THAT(Refusal({{"rope_scaling", {{"type", "linear"}}}}),
             Contains("rope_scaling.factor: the key is missing"));
  CHECK_THAT(Refusal({{"rope_scaling", {{"type", "linear"}, {"factor", 0}}}}),
             Contains("factor: expected a number above 0"));
  CHECK_THAT(Refusal({{"rope_scaling", {{"type", "llama3"}, {"factor", 8}}}}),
             Contains("low_freq_factor: the key is missing"));
  CHECK_THAT(
      Refusal({{"rope_scaling",
                {{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 1}}}}),
      Contains("above low_freq_factor (4)"));
  CHECK_THAT(Refusal({{"rope_theta", 0}}), Contains("rope_theta: expected a number above 0"));
  CHECK_THAT(Refusal({{"rope_parameters", {{"partial_rotary_factor", 0.25}}}}),
             Contains("partial_rotary_factor: expected 1"));
}

}  // namespace
}  // namespace guildhall
