#include "tests/attacks/trial.h"

#include <algorithm>
#include <cstdio>

#include "base/format_bytes.h"
#include "base/str_cat.h"

namespace guildhall::attacks {
namespace {

constexpr auto kReturns = std::chrono::seconds(10);
constexpr auto kLookEach = std::chrono::milliseconds(100);
constexpr double kTail = 0.99;

double Allowed(double before, const Marks& marks) {
  return std::max(before * marks.slower, before + marks.slower_seconds);
}

int64_t AllowedBytes(int64_t before, const Marks& marks) {
  return std::max(static_cast<int64_t>(static_cast<double>(before) * marks.memory),
                  before + marks.memory_bytes);
}

bool IsBack(const Trial& trial, const Marks& marks) {
  return trial.figures_after.resident_bytes <= AllowedBytes(trial.figures_before.resident_bytes, marks) &&
         trial.figures_after.threads <= trial.figures_before.threads + marks.threads &&
         trial.figures_after.descriptors <= trial.figures_before.descriptors + marks.descriptors;
}

// The most recent figures, once they are within the marks or the time for that has passed.
void AwaitReturn(pid_t pid, const Marks& marks, Trial& trial) {
  const auto until = std::chrono::steady_clock::now() + kReturns;
  do {
    const auto figures = ReadProcess(pid);
    trial.ended = !figures.has_value();
    if (trial.ended) return;
    trial.figures_after = *figures;
    if (IsBack(trial, marks)) return;
    std::this_thread::sleep_for(kLookEach);
  } while (std::chrono::steady_clock::now() < until);
}

void Add(const Tally& more, Tally& sum) {
  sum.attempts = {sum.attempts.number + more.attempts.number, more.attempts.of};
  sum.refused = {sum.refused.number + more.refused.number, more.refused.of};
  sum.wrong.insert(sum.wrong.end(), more.wrong.begin(), more.wrong.end());
}

std::string Format(const char* format, double number) {
  char text[64];
  std::snprintf(text, sizeof(text), format, number);
  return text;
}

std::string Path(int64_t before, int64_t peak, int64_t after) {
  return StrCat(before, "/", peak, "/", after);
}

std::string Row(const std::vector<std::string>& cells) {
  constexpr int kWidths[] = {24, 22, 18, 16, 22, 18, 15, 15, 6};
  std::string row;
  for (size_t i = 0; i < cells.size(); ++i) {
    row += cells[i];
    const size_t width = static_cast<size_t>(kWidths[i]);
    row.append(cells[i].size() < width ? width - cells[i].size() : 1, ' ');
  }
  return row;
}

}  // namespace

Trial RunTrial(const Attack& attack, const TrialOptions& options, const Marks& marks) {
  const std::string& address = options.innocent.empty() ? options.target.address : options.innocent;
  const Innocent innocent(address);
  Trial trial;
  trial.attack = attack.name;
  trial.before = innocent.Run(true, options.calls_before);
  const auto before = ReadProcess(options.pid);
  trial.known = before.has_value();
  if (trial.known) trial.figures_before = *before;
  {
    const ProcessWatch watch(options.pid, address);
    std::atomic<bool> over = false;
    std::jthread client([&] { trial.meanwhile = innocent.Run(over, options.calls_before); });
    const auto begin = std::chrono::steady_clock::now();
    for (int round = 0; round < options.rounds; ++round)
      Add(attack.run(options.target, options.size > 0 ? options.size : attack.size), trial.tally);
    trial.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    over = true;
    client.join();
    trial.figures_peak = watch.peak();
    trial.health_checks = watch.health_checks();
    trial.unhealthy = watch.unhealthy();
  }
  if (trial.known) AwaitReturn(options.pid, marks, trial);
  return trial;
}

std::vector<std::string> Failures(const Trial& trial, const Marks& marks) {
  std::vector<std::string> failures = trial.tally.wrong;
  const InnocentCounts& innocent = trial.meanwhile;
  if (trial.ended) failures.push_back("the server has ended");
  if (innocent.wrong > 0) failures.push_back(StrCat(innocent.wrong, " innocent answers had other bits"));
  for (const auto& [why, times] : innocent.failed)
    failures.push_back(StrCat(times, " innocent calls failed: ", why));
  const double before = trial.before.Quantile(kTail), meanwhile = innocent.Quantile(kTail);
  if (meanwhile > Allowed(before, marks)) {
    failures.push_back(
        StrCat("the innocent client's 99th percentile went from ", before, " s to ", meanwhile, " s"));
  }
  if (trial.unhealthy > 0)
    failures.push_back(
        StrCat(trial.unhealthy, " of ", trial.health_checks, " checks of health were not SERVING"));
  if (!trial.known || trial.ended || IsBack(trial, marks)) return failures;
  const ProcessFigures &first = trial.figures_before, &last = trial.figures_after;
  failures.push_back(StrCat("resident memory, threads and descriptors were ",
                            FormatBytes(static_cast<uint64_t>(first.resident_bytes)), ", ", first.threads,
                            ", ", first.descriptors, " before and ",
                            FormatBytes(static_cast<uint64_t>(last.resident_bytes)), ", ", last.threads, ", ",
                            last.descriptors, " afterwards"));
  return failures;
}

std::string TableHead() {
  return Row({"attack", "attempts", "refused", "innocent: ok", "wrong/failed/unhealthy", "p99 before, during",
              "MiB b/peak/after", "descriptors", "threads"});
}

std::string TableRow(const Trial& trial) {
  const InnocentCounts& innocent = trial.meanwhile;
  const ProcessFigures &first = trial.figures_before, &peak = trial.figures_peak, &last = trial.figures_after;
  const std::vector<std::string> unknown{"-", "-", "-"};
  std::vector<std::string> cells{trial.attack,
                                 StrCat(trial.tally.attempts.number, " ", trial.tally.attempts.of),
                                 StrCat(trial.tally.refused.number, " ", trial.tally.refused.of),
                                 StrCat(innocent.ok),
                                 StrCat(innocent.wrong, "/", innocent.failures(), "/", trial.unhealthy),
                                 Format("%.0f ms, ", trial.before.Quantile(kTail) * 1e3) +
                                     Format("%.0f ms", innocent.Quantile(kTail) * 1e3)};
  const std::vector<std::string> figures{
      Path(first.resident_bytes >> 20, peak.resident_bytes >> 20, last.resident_bytes >> 20),
      Path(first.descriptors, peak.descriptors, last.descriptors),
      Path(first.threads, peak.threads, last.threads)};
  const std::vector<std::string>& tail = trial.known ? figures : unknown;
  cells.insert(cells.end(), tail.begin(), tail.end());
  return Row(cells);
}

}  // namespace guildhall::attacks
