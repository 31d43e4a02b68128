// What a load run sends and when, and what it says of the times, against values by hand.
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <map>

#include "client/load_plan.h"
#include "client/load_report.h"
#include "tests/server/adapter_fixture.h"

namespace guildhall {
namespace {

std::vector<std::vector<LoadPrompt>> Tasks(size_t tasks, size_t prompts) {
  std::vector<std::vector<LoadPrompt>> by_task(tasks);
  for (size_t t = 0; t < tasks; ++t) {
    for (size_t p = 0; p < prompts; ++p)
      by_task[t].push_back({"task" + std::to_string(t), "prompt" + std::to_string(p), ""});
  }
  return by_task;
}

std::map<std::string, int> CountTasks(const std::vector<LoadPrompt>& prompts) {
  std::map<std::string, int> counts;
  for (const LoadPrompt& prompt : prompts) ++counts[prompt.task];
  return counts;
}

LoadSample Sample(const std::string& task, double first_ms, std::vector<double> gaps) {
  LoadSample sample;
  sample.task = task;
  sample.first_token_ms = first_ms;
  sample.tokens = static_cast<int>(gaps.size()) + 1;
  sample.token_gaps_ms = std::move(gaps);
  sample.total_ms = first_ms;
  for (const double gap : sample.token_gaps_ms) sample.total_ms += gap;
  return sample;
}

}  // namespace

TEST_CASE("arrivals and popularity are read from text, and refused by name") {
  CHECK(ParseArrivals("closed")->kind == Arrivals::Kind::kClosed);
  CHECK(ParseArrivals("poisson:12.5")->rate == 12.5);
  const auto bursty = ParseArrivals("bursty:20,8");
  REQUIRE(bursty.ok());
  CHECK(bursty->kind == Arrivals::Kind::kBursty);
  CHECK(bursty->rate == 20.0);
  CHECK(bursty->burst == 8);
  for (const char* bad : {"open", "poisson", "poisson:", "poisson:0", "poisson:-1", "poisson:nan",
                          "poisson:1x", "bursty:5", "bursty:5,0", "bursty:5,1.5", "bursty:,3"}) {
    INFO(bad);
    CHECK_THAT(std::string(ParseArrivals(bad).status().message()), Catch::Contains("poisson:RATE"));
  }
  CHECK(ParsePopularity("turn")->kind == Popularity::Kind::kTurn);
  CHECK(ParsePopularity("uniform")->kind == Popularity::Kind::kUniform);
  CHECK(ParsePopularity("zipf:1.1")->exponent == 1.1);
  for (const char* bad : {"zipf", "zipf:", "zipf:0", "zipf:11", "skewed"}) {
    INFO(bad);
    CHECK_THAT(std::string(ParsePopularity(bad).status().message()), Catch::Contains("zipf:S"));
  }
}

TEST_CASE("Poisson arrivals have the rate and the spread of independent ones") {
  const size_t count = 20000;
  const std::vector<double> due = DrawArrivals(*ParseArrivals("poisson:50"), count, 7);
  REQUIRE(due.size() == count);
  CHECK(std::is_sorted(due.begin(), due.end()));
  CHECK(static_cast<double>(count) / due.back() == Approx(50.0).epsilon(0.03));
  double square = 0.0;
  for (size_t i = 1; i < count; ++i) square += std::pow(due[i] - due[i - 1], 2);
  // An exponential gap's mean square is twice its mean's square.
  CHECK(square / static_cast<double>(count) == Approx(2.0 / (50.0 * 50.0)).epsilon(0.06));
  CHECK(DrawArrivals(*ParseArrivals("poisson:50"), count, 7) == due);
  CHECK(DrawArrivals(*ParseArrivals("poisson:50"), count, 8) != due);
  CHECK(DrawArrivals(*ParseArrivals("closed"), 10, 7).empty());
}

TEST_CASE("bursts come whole, at the rate asked for on average") {
  const std::vector<double> due = DrawArrivals(*ParseArrivals("bursty:50,8"), 16003, 7);
  REQUIRE(due.size() == 16003);
  for (size_t i = 0; i < due.size(); ++i) CHECK((i % 8 == 0) != (i > 0 && due[i] == due[i - 1]));
  CHECK(16003.0 / due.back() == Approx(50.0).epsilon(0.06));
}

TEST_CASE("tasks come in turn, alike, or by rank") {
  const auto by_task = Tasks(4, 3);
  const auto turn = DrawPrompts(by_task, *ParsePopularity("turn"), 8, 1);
  CHECK(turn[0].task == "task0");
  CHECK(turn[5].task == "task1");
  CHECK(turn[4].prompt == "prompt1");
  for (const auto& [task, count] : CountTasks(DrawPrompts(by_task, *ParsePopularity("uniform"), 20000, 1))) {
    INFO(task);
    CHECK(count == Approx(5000).epsilon(0.05));
  }
  // 1 + 1/2 + 1/3 + 1/4 = 25/12.
  auto zipf = CountTasks(DrawPrompts(by_task, *ParsePopularity("zipf:1"), 20000, 1));
  CHECK(zipf["task0"] == Approx(20000 * 12.0 / 25.0).epsilon(0.05));
  CHECK(zipf["task3"] == Approx(20000 * 3.0 / 25.0).epsilon(0.05));
  const auto one = DrawPrompts(by_task, *ParsePopularity("zipf:1"), 50, 3);
  const auto two = DrawPrompts(by_task, *ParsePopularity("zipf:1"), 50, 3);
  for (size_t i = 0; i < one.size(); ++i) CHECK(one[i].task + one[i].prompt == two[i].task + two[i].prompt);
}

TEST_CASE("prompt files: the asked tasks in their order, what is missing is named") {
  const TempFolder folder;
  std::ofstream(folder / "p.json") << R"({"a": {"examples": [{"prompt": "x", "expected": "y"}], "more": 1},
                                          "b": {"examples": [{"prompt": "z"}]}, "c": {"examples": []}})";
  const auto two = ReadLoadPrompts(folder / "p.json", {"b", "a"});
  REQUIRE(two.ok());
  CHECK((*two)[0][0].prompt == "z");
  CHECK((*two)[1][0].expected == "y");
  CHECK_THAT(std::string(ReadLoadPrompts(folder / "p.json", {}).status().message()),
             Catch::Contains("c.examples"));
  CHECK_THAT(std::string(ReadLoadPrompts(folder / "p.json", {"d"}).status().message()),
             Catch::Contains("\"d\" is not in it"));
}

TEST_CASE("a load report: percentiles, good answers, errors by code") {
  LoadResult result;
  result.seconds = 2.0;
  result.streams = 4;
  for (int i = 1; i <= 100; ++i) result.samples.push_back(Sample("a", i, {2.0, 4.0}));
  result.samples.push_back(Sample("b", 10.0, {200.0, 20.0}));  // 110 ms per token on average
  LoadSample refused = Sample("b", 0.0, {});
  refused.error = "RESOURCE_EXHAUSTED: full", refused.error_code = "RESOURCE_EXHAUSTED";
  result.samples.push_back(refused);
  const LoadGoals goals{.first_token_ms = 95.0, .token_ms = 100.0};
  CHECK(IsGood(result.samples[94], goals));
  CHECK_FALSE(IsGood(result.samples[95], goals));
  CHECK_FALSE(IsGood(result.samples[100], goals));
  CHECK_FALSE(IsGood(refused, goals));
  const Json json = LoadReportJson(result, goals);
  CHECK(json["tasks"]["a"]["first_token_ms"]["p50"] == 50.0);
  CHECK(json["tasks"]["a"]["first_token_ms"]["p95"] == 95.0);
  CHECK(json["tasks"]["a"]["first_token_ms"]["p99"] == 99.0);
  CHECK(json["tasks"]["a"]["token_ms"]["p50"] == 2.0);
  CHECK(json["tasks"]["a"]["total_ms"]["p50"] == 56.0);
  CHECK(json["all"]["requests"] == 102);
  CHECK(json["all"]["good"] == 95);
  CHECK(json["all"]["good_requests_per_second"] == 47.5);
  CHECK(json["all"]["output_tokens"] == 303);
  CHECK(json["all"]["errors_by_code"]["RESOURCE_EXHAUSTED"] == 1);
  const std::string text = LoadReportText(result, goals);
  CHECK_THAT(text, Catch::Contains("errors: 1 RESOURCE_EXHAUSTED") && Catch::Contains("47.5 requests/s"));
  CHECK_THAT(LoadSweepText({result, result}, goals), Catch::Contains("STREAMS") && Catch::Contains("\n4 "));
}

}  // namespace guildhall
