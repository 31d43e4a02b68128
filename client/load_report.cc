#include "client/load_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>

namespace guildhall {
namespace {

struct Summary {
  int requests = 0, errors = 0, good = 0, tokens = 0, with_expected = 0, exact = 0;
  std::vector<double> first_token_ms, token_ms, total_ms;
  std::map<std::string, int> codes;  // of the errors

  void Add(const LoadSample& sample, const LoadGoals& goals) {
    ++requests;
    good += IsGood(sample, goals) ? 1 : 0;
    if (!sample.error.empty()) {
      ++errors;
      ++codes[sample.error_code];
      return;
    }
    tokens += sample.tokens;
    if (!sample.expected.empty()) {
      ++with_expected;
      exact += sample.answer == sample.expected ? 1 : 0;
    }
    first_token_ms.push_back(sample.first_token_ms);
    token_ms.insert(token_ms.end(), sample.token_gaps_ms.begin(), sample.token_gaps_ms.end());
    total_ms.push_back(sample.total_ms);
  }
};

std::map<std::string, Summary> ByTask(const LoadResult& result, const LoadGoals& goals, Summary& all) {
  std::map<std::string, Summary> tasks;
  for (const LoadSample& sample : result.samples) {
    tasks[sample.task].Add(sample, goals);
    all.Add(sample, goals);
  }
  return tasks;
}

std::string Head(const char* first) {
  char head[400];
  std::snprintf(head, sizeof(head),
                "%-16s %8s %6s %9s %8s %9s %6s   %23s   %23s   %23s\n"
                "%-16s %8s %6s %9s %8s %9s %6s   %7s %7s %7s   %7s %7s %7s   %7s %7s %7s\n",
                "", "", "", "", "output", "", "", "first token, ms", "then per token, ms", "whole, ms", first,
                "requests", "errors", "exact", "tokens", "tokens/s", "good", "p50", "p95", "p99", "p50",
                "p95", "p99", "p50", "p95", "p99");
  return head;
}

std::string Times(const std::vector<double>& values, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "   %7.*f %7.*f %7.*f", digits, Percentile(values, 0.5), digits,
                Percentile(values, 0.95), digits, Percentile(values, 0.99));
  return text;
}

std::string Line(const std::string& name, const Summary& s, double seconds) {
  char exact[24] = "-";
  if (s.with_expected > 0) std::snprintf(exact, sizeof(exact), "%d/%d", s.exact, s.with_expected);
  char line[128];
  std::snprintf(line, sizeof(line), "%-16s %8d %6d %9s %8d %9.1f %5.0f%%", name.c_str(), s.requests, s.errors,
                exact, s.tokens, s.tokens / seconds, 100.0 * s.good / std::max(s.requests, 1));
  return line + Times(s.first_token_ms, 1) + Times(s.token_ms, 2) + Times(s.total_ms, 1) + "\n";
}

Json TimesJson(const std::vector<double>& values) {
  return {
      {"p50", Percentile(values, 0.5)}, {"p95", Percentile(values, 0.95)}, {"p99", Percentile(values, 0.99)}};
}

Json SummaryJson(const Summary& s, double seconds) {
  Json json{{"requests", s.requests},
            {"errors", s.errors},
            {"with_expected", s.with_expected},
            {"exact", s.exact},
            {"output_tokens", s.tokens},
            {"tokens_per_second", s.tokens / seconds},
            {"good", s.good},
            {"good_requests_per_second", s.good / seconds},
            {"first_token_ms", TimesJson(s.first_token_ms)},
            {"token_ms", TimesJson(s.token_ms)},
            {"total_ms", TimesJson(s.total_ms)},
            {"errors_by_code", Json::object()}};
  for (const auto& [code, count] : s.codes) json["errors_by_code"][code] = count;
  return json;
}

std::string ChurnText(const ChurnReport& churn) {
  char line[160];
  std::snprintf(line, sizeof(line),
                "adapter loaded and unloaded beside it: %zu times, load p50 %.1f ms, p99 %.1f ms",
                churn.load_ms.size(), Percentile(churn.load_ms, 0.5), Percentile(churn.load_ms, 0.99));
  return line + (churn.failures > 0 ? "; FAILED: " + churn.first_error : std::string()) + "\n";
}

}  // namespace

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

bool IsGood(const LoadSample& sample, const LoadGoals& goals) {
  if (!sample.error.empty() || sample.first_token_ms > goals.first_token_ms) return false;
  if (sample.token_gaps_ms.empty()) return true;
  const double sum = std::accumulate(sample.token_gaps_ms.begin(), sample.token_gaps_ms.end(), 0.0);
  return sum / static_cast<double>(sample.token_gaps_ms.size()) <= goals.token_ms;
}

std::string LoadReportText(const LoadResult& result, const LoadGoals& goals) {
  Summary all;
  const auto tasks = ByTask(result, goals, all);
  std::string text = Head("TASK");
  for (const auto& [task, summary] : tasks)
    text += Line(task.empty() ? "\"\"" : task, summary, result.seconds);
  text += Line("all", all, result.seconds);
  char line[200];
  std::snprintf(line, sizeof(line), "good: first token within %g ms, then %g ms per token: %.1f requests/s\n",
                goals.first_token_ms, goals.token_ms, all.good / result.seconds);
  text += line;
  for (const auto& [code, count] : all.codes) text += "errors: " + std::to_string(count) + " " + code + "\n";
  for (const ChurnReport& churn : result.churn) text += ChurnText(churn);
  return text;
}

Json LoadReportJson(const LoadResult& result, const LoadGoals& goals) {
  Summary all;
  const auto tasks = ByTask(result, goals, all);
  Json report{{"seconds", result.seconds},
              {"streams", result.streams},
              {"goals", {{"first_token_ms", goals.first_token_ms}, {"token_ms", goals.token_ms}}},
              {"all", SummaryJson(all, result.seconds)},
              {"tasks", Json::object()}};
  for (const auto& [task, summary] : tasks) report["tasks"][task] = SummaryJson(summary, result.seconds);
  for (const ChurnReport& churn : result.churn) {
    report["churn"] = {{"loads", churn.load_ms.size()},
                       {"failures", churn.failures},
                       {"first_error", churn.first_error},
                       {"load_ms", TimesJson(churn.load_ms)},
                       {"unload_ms", TimesJson(churn.unload_ms)}};
  }
  return report;
}

std::string LoadSweepText(const std::vector<LoadResult>& results, const LoadGoals& goals) {
  std::string text = Head("STREAMS");
  for (const LoadResult& result : results) {
    Summary all;
    ByTask(result, goals, all);
    text += Line(std::to_string(result.streams), all, result.seconds);
  }
  return text;
}

}  // namespace guildhall
