// What a load run sends, and when: drawn from a seed before anything is sent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace guildhall {

struct LoadPrompt {
  std::string task, prompt, expected;  // expected: empty where it is not known
};

// Which task each request is of.
struct Popularity {
  enum class Kind { kTurn, kUniform, kZipf };
  Kind kind = Kind::kTurn;
  double exponent = 0.0;  // zipf: the n-th task (from 1) has the weight n^-exponent
};
// "turn", "uniform" or "zipf:S". INVALID_ARGUMENT names these.
absl::StatusOr<Popularity> ParsePopularity(std::string_view text);

// When requests are sent.
struct Arrivals {
  enum class Kind { kClosed, kPoisson, kBursty };
  Kind kind = Kind::kClosed;  // the next one as soon as one has been answered
  double rate = 0.0;          // requests per second on average
  int burst = 1;              // bursty: so many at once, the bursts at independent times
};
// "closed", "poisson:RATE" or "bursty:RATE,SIZE". INVALID_ARGUMENT names these.
absl::StatusOr<Arrivals> ParseArrivals(std::string_view text);

// Seconds after the start at which each of `count` requests is due, ascending; empty for a closed loop.
std::vector<double> DrawArrivals(const Arrivals& arrivals, size_t count, uint64_t seed);

// {TASK: {"examples": [{"prompt": ..., "expected": ...}]}}, one list per task in the file's order, or in that
// of `tasks` where it is not empty; a task's other keys are for other readers. INVALID_ARGUMENT when a task
// has no examples, or when one of `tasks` is not in the file.
absl::StatusOr<std::vector<std::vector<LoadPrompt>>> ReadLoadPrompts(const std::string& file,
                                                                     const std::vector<std::string>& tasks);

// `count` prompts; a task's own come in turn.
std::vector<LoadPrompt> DrawPrompts(const std::vector<std::vector<LoadPrompt>>& by_task,
                                    const Popularity& popularity, size_t count, uint64_t seed);

}  // namespace guildhall
