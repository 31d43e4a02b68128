// What a load run measured, by task and in all.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "client/load_churn.h"

namespace guildhall {

// One finished request. Times in milliseconds as the client saw them.
struct LoadSample {
  std::string task, prompt, expected, answer, error;  // error: empty when it went well
  std::string error_code;                             // "RESOURCE_EXHAUSTED"
  double first_token_ms = 0.0;
  std::vector<double> token_gaps_ms;  // of each token after the first chunk
  double total_ms = 0.0;
  int tokens = 0;
};

// A good answer has no error, its first token in time, and its later ones on average.
struct LoadGoals {
  double first_token_ms = 1000.0, token_ms = 100.0;
};

// One run at one level of concurrency.
struct LoadResult {
  std::vector<LoadSample> samples;
  double seconds = 0.0;
  int streams = 0;
  std::vector<ChurnReport> churn;  // one, where an adapter came and went beside it
};

// The value below which `share` (0..1) of the values lie, nearest rank; 0 for none.
double Percentile(std::vector<double> values, double share);

bool IsGood(const LoadSample& sample, const LoadGoals& goals);

// A table: per task requests, errors, exact answers (where expected ones are known), tokens, tokens per
// second, the share of good answers, and p50/p95/p99 of first-token, per-token and whole times; below it the
// errors by code, good requests per second and the adapter's loads.
std::string LoadReportText(const LoadResult& result, const LoadGoals& goals);
Json LoadReportJson(const LoadResult& result, const LoadGoals& goals);

// One line per run: what LoadReportText says of all tasks.
std::string LoadSweepText(const std::vector<LoadResult>& results, const LoadGoals& goals);

}  // namespace guildhall
