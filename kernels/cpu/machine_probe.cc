#include "kernels/cpu/machine_probe.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/status.h"
#include "kernels/cpu/micro_kernels.h"
#include "kernels/cpu/probe_functions.h"

namespace guildhall {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMemoryBytes = size_t{256} << 20;   // many times the last cache level
constexpr int64_t kStretchBytes = int64_t{1} << 20;  // one item of a read
constexpr int64_t kRounds = 100000;                  // of a peak's item

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// One thread goes by its own CPU time, which is right on a busy machine, too; several by the wall's.
double Now(bool all_threads) {
  timespec now{};
  clock_gettime(all_threads ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Runs `items` items on all threads or on the caller alone; returns the seconds that it took.
template <typename Body>
double Timed(CpuContext& context, bool all_threads, int64_t items, Body body) {
  const double begin = Now(all_threads);
  if (all_threads) {
    context.pool.Run(items, [&](int64_t item, int) { body(item); });
  } else {
    for (int64_t item = 0; item < items; ++item) body(item);
  }
  return Now(all_threads) - begin;
}

// The best rate of `operations` in giga per second over runs of about `seconds` in all; 0 without such a
// function.
double Peak(CpuContext& context, bool all_threads, double seconds, double (*operations)(int64_t)) {
  if (operations == nullptr) return 0;
  const int64_t items = all_threads ? context.pool.threads() : 1;
  double best = 0;
  const auto begin = Clock::now();
  do {
    std::atomic<double> done{0};
    const double taken = Timed(context, all_threads, items, [&](int64_t) { done += operations(kRounds); });
    best = std::max(best, done.load() / taken * 1e-9);
  } while (SecondsSince(begin) < seconds);
  return best;
}

// The rate of each pass over the memory, in GB/s.
std::vector<double> ReadPasses(CpuContext& context, bool all_threads, double seconds, const Buffer& memory) {
  std::vector<double> rates;
  std::atomic<uint64_t> sum{0};
  const auto items = static_cast<int64_t>(memory.size()) / kStretchBytes;
  const auto begin = Clock::now();
  do {
    const double taken = Timed(context, all_threads, items, [&](int64_t item) {
      sum += ProbeFunctionsOf(context.kernels.isa).read(memory.data() + item * kStretchBytes, kStretchBytes);
    });
    rates.push_back(static_cast<double>(memory.size()) / taken * 1e-9);
  } while (SecondsSince(begin) < seconds);
  return rates;
}

}  // namespace

const ProbeFunctions& ProbeFunctionsOf(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return kAvx512Probe;
  if (isa == Isa::kAvx2) return kAvx2Probe;
#endif
  return kPortableProbe;
}

absl::StatusOr<MachineProbe> MachineProbe::Make() {
  GH_ASSIGN_OR_RETURN(Buffer memory, Buffer::Allocate(kMemoryBytes, "machine probe"));
  // Touched, or all reads would go to the one page of zeros.
  std::memset(memory.data(), 1, memory.size());
  return MachineProbe(std::move(memory));
}

MachinePeaks MachineProbe::Measure(CpuContext& context, bool all_threads, double seconds) const {
  const ProbeFunctions& probe = ProbeFunctionsOf(context.kernels.isa);
  const auto reads = ReadPasses(context, all_threads, seconds, memory_);
  return {.read_gbps = *std::max_element(reads.begin(), reads.end()),
          .fp32_gflops = Peak(context, all_threads, seconds, probe.fp32),
          .bf16_gflops = Peak(context, all_threads, seconds, probe.bf16_dot),
          .int8_gops = Peak(context, all_threads, seconds, probe.int8_dot)};
}

double MachineProbe::ReadGbps(CpuContext& context, bool all_threads, double seconds) const {
  auto rates = ReadPasses(context, all_threads, seconds, memory_);
  std::nth_element(rates.begin(), rates.begin() + static_cast<std::ptrdiff_t>(rates.size() / 2), rates.end());
  return rates[rates.size() / 2];
}

}  // namespace guildhall
