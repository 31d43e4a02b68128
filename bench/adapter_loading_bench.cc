#include "bench/adapter_loading_bench.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>

#include "adapters/adapter_folder.h"
#include "base/status.h"
#include "base/steady_clock.h"
#include "base/str_cat.h"
#include "base/thread_priority.h"
#include "bench/esft_folder.h"
#include "bench/generated_adapter.h"

namespace guildhall {
namespace {

constexpr size_t kLeastSteps = 100;  // of which the 99th percentile is not the slowest
constexpr const char* kName = "from-files";

double SecondsSince(int64_t begin_ns) {
  return 1e-9 * static_cast<double>(SteadyNs() - begin_ns);
}

int64_t MegabytesPerSecond(uint64_t bytes, double seconds) {
  return static_cast<int64_t>(1e-6 * static_cast<double>(bytes) / std::max(seconds, 1e-9));
}

}  // namespace

AdapterLoadingBench::~AdapterLoadingBench() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status AdapterLoadingBench::Prepare() {
  if (load_parts_ != nullptr) return absl::OkStatus();
  folder_ =
      std::filesystem::temp_directory_path() / StrCat("guildhall-bench-", static_cast<int64_t>(getpid()));
  const auto source = MakeGeneratedAdapter(parts_.spec, {.experts_per_layer = {6}}, 7);
  file_bytes_ = source->manifest().file_bytes;
  GH_RETURN_IF_ERROR(WriteEsftFolder(parts_.spec, *source, folder_));
  const auto experts = static_cast<int64_t>(source->manifest().replaced.size());
  GH_ASSIGN_OR_RETURN(load_parts_,
                      LoadParts::Make(parts_.spec, parts_.backend, parts_.format, experts, folder_));
  return absl::OkStatus();
}

AdapterLoadingBench::StepTimes AdapterLoadingBench::TimeSteps() {
  std::vector<double> times;
  const int64_t begin = SteadyNs();
  for (int64_t i = 0; SecondsSince(begin) < 3.0 * parts_.seconds || times.size() < kLeastSteps; ++i) {
    const int64_t step = SteadyNs();
    parts_.forward.Step(parts_.decode, parts_.decode.context + i % kKvBlockTokens);
    times.push_back(SecondsSince(step));
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

absl::StatusOr<double> AdapterLoadingBench::Load() {
  LoadRequest request;
  request.name = kName;
  request.open = [&] { return OpenAdapterFolder(folder_, parts_.base); };
  GH_ASSIGN_OR_RETURN(const AdapterInfo info, parts_.manager.Load(request));
  GH_RETURN_IF_ERROR(parts_.manager.Unload(kName, std::nullopt, absl::Seconds(10)).status());
  return info.load_seconds;
}

absl::Status AdapterLoadingBench::Beside(const Company& company, const Mark& mark,
                                         const AdapterReport& report) {
  std::vector<double> medians, tails;
  uint64_t bytes = 0;
  double seconds = 0.0;
  for (int round = 0; round < parts_.rounds; ++round) {
    const StepTimes quiet = TimeSteps();
    std::atomic<bool> stop{false};
    absl::Status status;
    std::thread other([&] {
      LowerThreadPriority();
      const int64_t begin = SteadyNs();
      while (!stop && status.ok()) {
        status = company.once();
        bytes += file_bytes_;
      }
      seconds += SecondsSince(begin);
    });
    const StepTimes busy = TimeSteps();
    stop = true;
    other.join();
    GH_RETURN_IF_ERROR(status);
    medians.push_back(busy.median / quiet.median);
    tails.push_back(busy.tail / quiet.tail);
  }
  const std::string what =
      StrCat("time against quiet steps; beside them ", MegabytesPerSecond(bytes, seconds), " MB/s");
  report({.name = StrCat("steps beside ", company.name, ": 99th percentile (decode 8)"),
          .ratio = SpreadOf(tails),
          .what = what,
          .mark = mark});
  report({.name = StrCat("steps beside ", company.name, ": median (decode 8)"),
          .ratio = SpreadOf(medians),
          .what = what,
          .mark = {}});
  return absl::OkStatus();
}

absl::Status AdapterLoadingBench::BesideSteps(const AdapterReport& report) {
  GH_RETURN_IF_ERROR(Prepare());
  LoadParts& parts = *load_parts_;
  const auto done = [](double) { return absl::OkStatus(); };
  GH_RETURN_IF_ERROR(
      Beside({"loads and unloads", [&] { return Load().status(); }}, Mark::AtMost(1.10), report));
  GH_RETURN_IF_ERROR(Beside({"reading alone", [&] { return done(parts.Read()); }}, {}, report));
  GH_RETURN_IF_ERROR(Beside({"packing alone", [&] { return done(parts.Pack()); }}, {}, report));
  return Beside({"clearing and giving back pages alone",
                 [&] {
                   parts.Clear();
                   return done(parts.Unmap());
                 }},
                {}, report);
}

absl::Status AdapterLoadingBench::LoadAgainstReading(bool cold, const Mark& mark,
                                                     const AdapterReport& report) {
  std::vector<double> ratios;
  double rate = 0.0, read_rate = 0.0, kept = 0.0;
  for (int round = 0; round < parts_.rounds; ++round) {
    if (cold) kept = std::max(kept, DropFromPageCache(folder_));
    const double read = load_parts_->Read();
    if (cold) kept = std::max(kept, DropFromPageCache(folder_));
    GH_ASSIGN_OR_RETURN(const double load, Load());
    rate = 1e-6 * static_cast<double>(file_bytes_) / load;
    read_rate = 1e-6 * static_cast<double>(file_bytes_) / read;
    ratios.push_back(load / read);
  }
  std::string what = StrCat("time against reading its files once (last round: ", static_cast<int64_t>(rate),
                            " and ", static_cast<int64_t>(read_rate), " MB/s");
  if (kept > 0.01) StrAppend(&what, "; the system kept ", static_cast<int>(100.0 * kept), " % in its cache");
  report({.name = StrCat("load of an ESFT folder, ", cold ? "not in the page cache" : "in the page cache"),
          .ratio = SpreadOf(ratios),
          .what = what + ")",
          .mark = mark});
  return absl::OkStatus();
}

absl::Status AdapterLoadingBench::Shares(const AdapterReport& report) {
  struct Part {
    const char* name;
    std::function<double()> run;
    std::vector<double> shares;
    double seconds = 0.0;
  };
  LoadParts& parts = *load_parts_;
  Part all[] = {{"reading from the page cache", [&] { return parts.Read(); }, {}},
                {"checking for numbers that are not finite", [&] { return parts.Check(); }, {}},
                {"clearing fresh pages", [&] { return parts.Clear(); }, {}},
                {"packing into touched pages", [&] { return parts.Pack(); }, {}},
                {"giving pages back (not part of the load)", [&] { return parts.Unmap(); }, {}}};
  for (int round = 0; round < parts_.rounds; ++round) {
    GH_ASSIGN_OR_RETURN(const double load, Load());
    for (Part& part : all) {
      part.seconds = part.run();
      part.shares.push_back(part.seconds / load);
    }
  }
  for (const Part& part : all) {
    report({.name = StrCat("part of a load: ", part.name),
            .ratio = SpreadOf(part.shares),
            .what = StrCat("time alone on one thread, against a load from the page cache (last round: ",
                           MegabytesPerSecond(file_bytes_, part.seconds), " MB/s of the files)"),
            .mark = {}});
  }
  return absl::OkStatus();
}

absl::Status AdapterLoadingBench::FromFiles(const AdapterReport& report) {
  GH_RETURN_IF_ERROR(Prepare());
  GH_RETURN_IF_ERROR(LoadAgainstReading(true, Mark::AtMost(1.20), report));
  GH_RETURN_IF_ERROR(LoadAgainstReading(false, Mark::AtMost(2.00), report));
  return Shares(report);
}

}  // namespace guildhall
