#include "engine/sampling_fields.h"

#include <catch2/catch.hpp>
#include <limits>
#include <set>

namespace guildhall {

TEST_CASE("Each sampling field has a name of its own") {
  std::set<std::string_view> names;
  for (const SamplingField& field : kSamplingFields) CHECK(names.insert(field.name).second);
}

TEST_CASE("What sampling begins with is in its ranges, and resolves to itself") {
  const PartialSampling built_in = BuiltInSampling();
  SamplingParams params;
  params.temperature = 0.5f;
  params.top_k = 7;
  Resolve(built_in, params);
  CHECK(params.temperature == SamplingParams().temperature);
  CHECK(params.top_k == SamplingParams().top_k);
  CHECK(built_in.include_stop == false);
  for (const SamplingField& field : kSamplingFields) {
    CHECK_FALSE(RangeProblem(field, built_in));
    CHECK_FALSE(RangeProblem(field, SamplingParams()));
  }
}

TEST_CASE("The level above wins, value by value and list by list") {
  PartialSampling over, under;
  over.temperature = 0.0;
  over.stop = {"a"};
  under.temperature = 1.0;
  under.min_p = 0.1;
  under.ignore_eos = false;
  under.stop = {"b", "c"};
  under.stop_token_ids = {3};
  const PartialSampling merged = Merge(over, under);
  CHECK(merged.temperature == 0.0);
  CHECK(merged.min_p == 0.1);
  CHECK(merged.ignore_eos == false);
  CHECK_FALSE(merged.top_k.has_value());
  CHECK(merged.stop == std::vector<std::string>{"a"});
  SamplingParams params;
  params.stop_tokens = {1, 2};
  Resolve(merged, params);
  CHECK(params.min_p == 0.1f);
  CHECK(params.stop_tokens == std::vector<int32_t>{3});
  CHECK(params.max_tokens == SamplingParams().max_tokens);
}

TEST_CASE("A value out of its range is told with the range") {
  const auto problem = [](std::string_view name, const PartialSampling& partial) {
    for (const SamplingField& field : kSamplingFields) {
      if (field.name == name) return RangeProblem(field, partial).value_or("");
    }
    return std::string("no such field");
  };
  PartialSampling partial;
  CHECK(problem("top_p", partial).empty());
  partial.top_p = 0.0;
  partial.top_k = -1;
  CHECK(problem("top_p", partial).empty());
  CHECK(problem("top_k", partial).empty());
  partial.top_p = -0.5;
  partial.top_k = -2;
  partial.bad_words_ids = {{1}, {2, -5}};
  CHECK(problem("bad_words_ids", partial) == "expected an integer from 0 to 2147483647, found -5");
  partial.presence_penalty = std::numeric_limits<double>::quiet_NaN();
  partial.stop_token_ids = {5, -5};
  CHECK(problem("top_p", partial) == "expected a number from 0 to 1, found -0.5");
  CHECK(problem("top_k", partial) == "expected an integer from -1 to 2147483647, found -2");
  CHECK_FALSE(problem("presence_penalty", partial).empty());
  CHECK(problem("stop_token_ids", partial) == "expected an integer from 0 to 2147483647, found -5");
}

TEST_CASE("The float nearest to a bound is within it") {
  for (const SamplingField& field : kSamplingFields) {
    if (field.name != "min_p") continue;
    SamplingParams params;
    params.min_p = 0.999f;
    CHECK_FALSE(RangeProblem(field, params));
    params.min_p = 1.0f;
    CHECK(RangeProblem(field, params));
  }
}

}  // namespace guildhall
