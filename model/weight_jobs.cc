#include "model/weight_jobs.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>

#include "base/thread_pool.h"

namespace guildhall {

absl::Status ForEachWeight(const WeightPlan& plan, const WeightJob& job,
                           const std::function<void(size_t, size_t)>& progress) {
  std::atomic<size_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  absl::Status error;
  size_t done = 0, total = 0;
  for (const WeightItem& item : plan.items) total += item.bytes;
  auto work = [&] {
    WeightScratch scratch(kWeightScratch);
    for (size_t i = next++; i < plan.items.size() && !failed; i = next++) {
      absl::Status status = job(plan.items[i], scratch);
      std::lock_guard lock(mutex);
      if (!status.ok() && !failed.exchange(true)) error = std::move(status);
      done += plan.items[i].bytes;
      if (progress && !failed) progress(done, total);
    }
  };
  std::vector<std::jthread> threads;
  for (int t = 1; t < AllowedCpus(); ++t) threads.emplace_back(work);
  work();
  threads.clear();
  return error;
}

}  // namespace guildhall
