#include "client/load_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "base/json.h"

namespace guildhall {
namespace {

struct Summary {
  int requests = 0, errors = 0, tokens = 0, with_expected = 0, exact = 0;
  std::vector<double> first_token_ms, token_ms;

  void Add(const LoadSample& sample) {
    ++requests;
    if (!sample.error.empty()) {
      ++errors;
      return;
    }
    tokens += sample.tokens;
    if (!sample.expected.empty()) {
      ++with_expected;
      exact += sample.answer == sample.expected ? 1 : 0;
    }
    first_token_ms.push_back(sample.first_token_ms);
    token_ms.insert(token_ms.end(), sample.token_gaps_ms.begin(), sample.token_gaps_ms.end());
  }
};

std::map<std::string, Summary> ByTask(const std::vector<LoadSample>& samples, Summary& all) {
  std::map<std::string, Summary> tasks;
  for (const LoadSample& sample : samples) {
    tasks[sample.task].Add(sample);
    all.Add(sample);
  }
  return tasks;
}

std::string Line(const std::string& name, const Summary& s, double seconds) {
  char exact[24] = "-";
  if (s.with_expected > 0) std::snprintf(exact, sizeof(exact), "%d/%d", s.exact, s.with_expected);
  char line[256];
  std::snprintf(line, sizeof(line), "%-16s %8d %6d %9s %8d %9.1f   %7.1f %7.1f %7.1f   %7.2f %7.2f %7.2f\n",
                name.c_str(), s.requests, s.errors, exact, s.tokens, s.tokens / seconds,
                Percentile(s.first_token_ms, 0.5), Percentile(s.first_token_ms, 0.95),
                Percentile(s.first_token_ms, 0.99), Percentile(s.token_ms, 0.5), Percentile(s.token_ms, 0.95),
                Percentile(s.token_ms, 0.99));
  return line;
}

Json SummaryJson(const Summary& s, double seconds) {
  auto times = [](const std::vector<double>& values) {
    return Json{{"p50", Percentile(values, 0.5)},
                {"p95", Percentile(values, 0.95)},
                {"p99", Percentile(values, 0.99)}};
  };
  return {{"requests", s.requests},
          {"errors", s.errors},
          {"with_expected", s.with_expected},
          {"exact", s.exact},
          {"output_tokens", s.tokens},
          {"tokens_per_second", s.tokens / seconds},
          {"first_token_ms", times(s.first_token_ms)},
          {"token_ms", times(s.token_ms)}};
}

}  // namespace

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(rank, 1.0)) - 1];
}

std::string LoadReportText(const std::vector<LoadSample>& samples, double seconds) {
  Summary all;
  const auto tasks = ByTask(samples, all);
  char head[320];
  std::snprintf(
      head, sizeof(head),
      "%-16s %8s %6s %9s %8s %9s   %23s   %23s\n%-16s %8s %6s %9s %8s %9s   %7s %7s %7s   %7s %7s %7s\n", "",
      "", "", "", "output", "", "first token, ms", "then per token, ms", "TASK", "requests", "errors",
      "exact", "tokens", "tokens/s", "p50", "p95", "p99", "p50", "p95", "p99");
  std::string text = head;
  for (const auto& [task, summary] : tasks) text += Line(task.empty() ? "\"\"" : task, summary, seconds);
  return text + Line("all", all, seconds);
}

std::string LoadReportJson(const std::vector<LoadSample>& samples, double seconds) {
  Summary all;
  const auto tasks = ByTask(samples, all);
  Json report{{"seconds", seconds}, {"all", SummaryJson(all, seconds)}, {"tasks", Json::object()}};
  for (const auto& [task, summary] : tasks) report["tasks"][task] = SummaryJson(summary, seconds);
  return DumpJson(report, 2) + "\n";
}

}  // namespace guildhall
