#include "engine/stop_rule.h"

#include <catch2/catch.hpp>

namespace guildhall {
namespace {

TEST_CASE("Each way to end, and its order") {
  SamplingParams params;
  params.max_tokens = 5;
  params.min_tokens = 2;
  params.stop_tokens = {7};
  const std::vector<int32_t> eos = {1, 2};
  const StopRule rule(params, eos, /*max_positions=*/100);
  CHECK_FALSE(rule.After(9, 1, 10).has_value());
  CHECK(rule.After(7, 3, 10) == FinishReason::kStop);
  CHECK(rule.After(2, 3, 10) == FinishReason::kStop);
  CHECK(rule.After(9, 5, 10) == FinishReason::kLength);
  CHECK(rule.After(7, 5, 10) == FinishReason::kStop);  // the last token may be the stop
  CHECK(rule.After(9, 1, 100) == FinishReason::kLength);
  CHECK_FALSE(rule.After(9, 1, 99).has_value());
}

TEST_CASE("Stop and end tokens are masked until min_tokens") {
  SamplingParams params;
  params.max_tokens = 5;
  params.min_tokens = 2;
  params.stop_tokens = {7};
  const std::vector<int32_t> eos = {1};
  const StopRule rule(params, eos, 100);
  const auto masked = rule.Masked(1);
  CHECK(std::vector<int32_t>(masked.begin(), masked.end()) == std::vector<int32_t>{7, 1});
  CHECK(rule.Masked(2).empty());
}

TEST_CASE("ignore_eos leaves the request's own stop tokens") {
  SamplingParams params;
  params.max_tokens = 5;
  params.stop_tokens = {7};
  params.ignore_eos = true;
  const std::vector<int32_t> eos = {1};
  const StopRule rule(params, eos, 100);
  CHECK_FALSE(rule.After(1, 1, 10).has_value());
  CHECK(rule.After(7, 1, 10) == FinishReason::kStop);
}

}  // namespace
}  // namespace guildhall
