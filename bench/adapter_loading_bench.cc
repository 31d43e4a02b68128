#include "bench/adapter_loading_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "adapters/adapter_folder.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "bench/esft_folder.h"
#include "bench/generated_adapter.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

// Asks the system to forget the files' pages; without the right to (or on a file system in memory) they stay.
void DropCache(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

// Of reading every file once, front to back.
double ReadSeconds(const std::filesystem::path& folder, bool cold) {
  if (cold) DropCache(folder);
  std::vector<char> piece(size_t{4} << 20);
  const auto begin = Clock::now();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    while (read(file, piece.data(), piece.size()) > 0) {
    }
    close(file);
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Loads and unloads one adapter again and again until it is told to stop.
class LoadLoop {
 public:
  LoadLoop(WeightManager& manager, const ModelSpec& spec) : manager_(manager), spec_(spec) {}

  void Run(const std::atomic<bool>& stop) {
    while (!stop && status_.ok()) status_ = Once();
  }
  const absl::Status& status() const { return status_; }
  double BytesPerSecond() const { return bytes_ / std::max(seconds_, 1e-9); }

 private:
  absl::Status Once() {
    LoadRequest request;
    request.name = "beside";
    request.open = [&] {
      return absl::StatusOr<std::unique_ptr<AdapterSource>>(
          MakeGeneratedAdapter(spec_, {.experts_per_layer = {6}}, 99));
    };
    GH_ASSIGN_OR_RETURN(const auto info, manager_.Load(request));
    bytes_ += static_cast<double>(info.tensor_bytes);
    seconds_ += info.load_seconds;
    return manager_.Unload("beside", std::nullopt, absl::Seconds(10)).status();
  }

  WeightManager& manager_;
  const ModelSpec& spec_;
  double bytes_ = 0.0, seconds_ = 0.0;
  absl::Status status_;
};

}  // namespace

AdapterLoadingBench::StepTimes AdapterLoadingBench::TimeSteps() {
  std::vector<double> times;
  const auto end = Clock::now() + std::chrono::duration<double>(3.0 * parts_.seconds);
  for (int64_t i = 0; Clock::now() < end || times.size() < 20; ++i) {
    const auto begin = Clock::now();
    parts_.forward.Step(parts_.decode, parts_.decode.context + i % kKvBlockTokens);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

absl::Status AdapterLoadingBench::BesideSteps(const AdapterReport& report) {
  std::vector<double> medians, tails;
  LoadLoop loop(parts_.manager, parts_.spec);
  for (int round = 0; round < parts_.rounds; ++round) {
    const StepTimes quiet = TimeSteps();
    std::atomic<bool> stop{false};
    std::thread loader([&] { loop.Run(stop); });
    const StepTimes busy = TimeSteps();
    stop = true;
    loader.join();
    GH_RETURN_IF_ERROR(loop.status());
    medians.push_back(busy.median / quiet.median);
    tails.push_back(busy.tail / quiet.tail);
  }
  report({.name = "steps of others during a load: 99th percentile (decode 8)",
          .ratio = SpreadOf(tails),
          .what = StrCat("time against quiet steps; loads ran at ",
                         static_cast<int>(loop.BytesPerSecond() * 1e-6), " MB/s beside them"),
          .mark = Mark::AtMost(1.10)});
  report({.name = "steps of others during a load: median (decode 8)",
          .ratio = SpreadOf(medians),
          .what = "time against quiet steps",
          .mark = {}});
  return absl::OkStatus();
}

absl::Status AdapterLoadingBench::FromFiles(const AdapterReport& report) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / StrCat("guildhall-bench-", static_cast<int64_t>(getpid()));
  const auto source = MakeGeneratedAdapter(parts_.spec, {.experts_per_layer = {6}}, 7);
  absl::Status status = WriteEsftFolder(parts_.spec, *source, folder.string());
  for (const bool cold : {true, false}) {
    std::vector<double> ratios;
    double rate = 0.0;
    for (int round = 0; round < parts_.rounds && status.ok(); ++round) {
      const double read = ReadSeconds(folder, cold);
      if (cold) DropCache(folder);
      LoadRequest request;
      request.name = "from-files";
      request.open = [&] { return OpenAdapterFolder(folder.string(), parts_.base); };
      const auto info = parts_.manager.Load(request);
      status = info.status();
      if (!info.ok()) break;
      rate = static_cast<double>(info->tensor_bytes) / info->load_seconds * 1e-6;
      ratios.push_back(info->load_seconds / read);
      status = parts_.manager.Unload("from-files", std::nullopt, absl::Seconds(10)).status();
    }
    if (!status.ok()) break;
    report({.name = StrCat("load of an ESFT folder, ", cold ? "not in the page cache" : "in the page cache"),
            .ratio = SpreadOf(ratios),
            .what = StrCat("time against reading its files once (", static_cast<int64_t>(rate),
                           " MB/s in the last round)"),
            .mark = Mark::AtMost(1.00)});
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return status;
}

}  // namespace guildhall
