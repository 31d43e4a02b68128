// What a load run measured, by task and in all.
#pragma once

#include <string>
#include <vector>

namespace guildhall {

// One finished request. Times in milliseconds as the client saw them.
struct LoadSample {
  std::string task, prompt, expected, answer, error;  // error: empty when it went well
  double first_token_ms = 0.0;
  std::vector<double> token_gaps_ms;  // between chunks after the first
  int tokens = 0;
};

// The value below which `share` (0..1) of the values lie, nearest rank; 0 for none.
double Percentile(std::vector<double> values, double share);

// A table: per task requests, errors, exact answers (where expected ones are known), tokens, first-token and
// per-token times at p50/p95/p99, and tokens per second over `seconds`.
std::string LoadReportText(const std::vector<LoadSample>& samples, double seconds);
std::string LoadReportJson(const std::vector<LoadSample>& samples, double seconds);

}  // namespace guildhall
