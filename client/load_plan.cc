#include "client/load_plan.h"

#include <cmath>
#include <cstdlib>
#include <optional>
#include <random>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kMostPromptBytes = size_t{16} << 20;
constexpr double kMostRate = 1e6;
constexpr int kMostBurst = 100000;

// [0, 1), the same on every machine.
double Uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53;
}

// A number above 0 and at most `most`.
std::optional<double> Positive(std::string_view text, double most) {
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  const bool whole = !copy.empty() && end == copy.c_str() + copy.size();
  return whole && value > 0.0 && value <= most ? std::optional(value) : std::nullopt;
}

// The rest of `text` behind `prefix`.
std::optional<std::string_view> Behind(std::string_view text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return std::nullopt;
  return text.substr(prefix.size());
}

absl::StatusOr<std::vector<LoadPrompt>> PromptsOf(const JsonObject& tasks, const std::string& id) {
  GH_ASSIGN_OR_RETURN(const JsonObject task, tasks.Object(id));
  const Json* examples = task.Find("examples");
  if (examples == nullptr || !examples->is_array() || examples->empty()) {
    return task.Error("examples", "expected a list of {\"prompt\", \"expected\"}");
  }
  std::vector<LoadPrompt> prompts;
  for (const Json& item : *examples) {
    GH_ASSIGN_OR_RETURN(const JsonObject example, JsonObject::From(item, task.Where("examples")));
    LoadPrompt& prompt = prompts.emplace_back();
    prompt.task = id;
    GH_ASSIGN_OR_RETURN(prompt.prompt, example.String("prompt"));
    GH_ASSIGN_OR_RETURN(prompt.expected, example.StringOr("expected", ""));
  }
  return prompts;
}

// Sums of the tasks' shares; the last is 1.
std::vector<double> Shares(const Popularity& popularity, size_t tasks) {
  const double exponent = popularity.kind == Popularity::Kind::kZipf ? popularity.exponent : 0.0;
  std::vector<double> sums;
  double sum = 0.0;
  for (size_t i = 0; i < tasks; ++i) {
    sum += std::pow(static_cast<double>(i + 1), -exponent);
    sums.push_back(sum);
  }
  for (double& value : sums) value /= sum;
  return sums;
}

}  // namespace

absl::StatusOr<Popularity> ParsePopularity(std::string_view text) {
  if (text == "turn") return Popularity{};
  if (text == "uniform") return Popularity{Popularity::Kind::kUniform, 0.0};
  if (const auto rest = Behind(text, "zipf:")) {
    if (const auto exponent = Positive(*rest, 10.0)) {
      return Popularity{Popularity::Kind::kZipf, *exponent};
    }
  }
  return absl::InvalidArgumentError(
      StrCat("popularity: expected turn, uniform or zipf:S with S in (0, 10], found \"", text, "\""));
}

absl::StatusOr<Arrivals> ParseArrivals(std::string_view text) {
  if (text == "closed") return Arrivals{};
  if (const auto rest = Behind(text, "poisson:")) {
    if (const auto rate = Positive(*rest, kMostRate)) return Arrivals{Arrivals::Kind::kPoisson, *rate, 1};
  }
  if (const auto rest = Behind(text, "bursty:")) {
    const size_t comma = rest->find(',');
    if (comma != std::string_view::npos) {
      const auto rate = Positive(rest->substr(0, comma), kMostRate);
      const auto size = Positive(rest->substr(comma + 1), kMostBurst);
      if (rate && size && *size == std::floor(*size)) {
        return Arrivals{Arrivals::Kind::kBursty, *rate, static_cast<int>(*size)};
      }
    }
  }
  return absl::InvalidArgumentError(
      StrCat("arrivals: expected closed, poisson:RATE or bursty:RATE,SIZE with requests per second and "
             "requests of a burst, found \"",
             text, "\""));
}

std::vector<double> DrawArrivals(const Arrivals& arrivals, size_t count, uint64_t seed) {
  if (arrivals.kind == Arrivals::Kind::kClosed) return {};
  std::mt19937_64 random(seed);
  const auto burst = static_cast<size_t>(arrivals.burst);
  const double bursts_per_second = arrivals.rate / arrivals.burst;
  std::vector<double> due;
  double at = 0.0;
  while (due.size() < count) {
    at += -std::log1p(-Uniform(random)) / bursts_per_second;
    for (size_t i = 0; i < burst && due.size() < count; ++i) due.push_back(at);
  }
  return due;
}

absl::StatusOr<std::vector<std::vector<LoadPrompt>>> ReadLoadPrompts(const std::string& file,
                                                                     const std::vector<std::string>& tasks) {
  GH_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, kMostPromptBytes));
  GH_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
  GH_ASSIGN_OR_RETURN(const JsonObject all, JsonObject::From(json, file));
  std::vector<std::string> wanted = tasks;
  if (wanted.empty()) {
    for (const auto& [id, entry] : json.items()) wanted.push_back(id);
  }
  if (wanted.empty()) return absl::InvalidArgumentError(file + ": has no task: expected {TASK: {...}}");
  std::vector<std::vector<LoadPrompt>> by_task;
  for (const std::string& id : wanted) {
    if (!all.Has(id)) return absl::InvalidArgumentError(StrCat(file, ": task \"", id, "\" is not in it"));
    GH_ASSIGN_OR_RETURN(by_task.emplace_back(), PromptsOf(all, id));
  }
  return by_task;
}

std::vector<LoadPrompt> DrawPrompts(const std::vector<std::vector<LoadPrompt>>& by_task,
                                    const Popularity& popularity, size_t count, uint64_t seed) {
  // Another stream of numbers than the arrivals'.
  std::mt19937_64 random(seed ^ 0x9e3779b97f4a7c15u);
  const std::vector<double> shares = Shares(popularity, by_task.size());
  std::vector<size_t> used(by_task.size());
  std::vector<LoadPrompt> prompts;
  for (size_t i = 0; i < count; ++i) {
    size_t task = i % by_task.size();
    if (popularity.kind != Popularity::Kind::kTurn) {
      const double at = Uniform(random);
      for (task = 0; task + 1 < shares.size() && shares[task] <= at;) ++task;
    }
    prompts.push_back(by_task[task][used[task]++ % by_task[task].size()]);
  }
  return prompts;
}

}  // namespace guildhall
