#include "weights/adapter_packer.h"

#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/thread_priority.h"

namespace guildhall {
namespace {

// The jobs of one load and the threads that take them in turn.
class PackRun {
 public:
  PackRun(const AdapterPlan& plan, const AdapterSource& source, const PackControl& control,
          AdapterWeights& weights)
      : plan_(plan), source_(source), control_(control), weights_(weights) {
    for (const PackJob& job : plan.jobs) total_ += job.bytes;
  }

  absl::Status Run() {
    if (control_.progress) control_.progress(0, total_);
    {
      std::vector<std::jthread> threads;
      try {
        for (int t = 0; t < control_.threads; ++t) {
          threads.emplace_back([this] {
            LowerThreadPriority();
            Work();
          });
        }
      } catch (const std::system_error&) {
        // Those that could be started do it all.
      }
      if (threads.empty()) Work();
    }
    return std::move(error_);
  }

 private:
  void Work() {
    std::vector<AdapterSource::Scratch> scratch(kPackScratch);
    const std::function<bool()> stop = [this] { return Stopped(); };
    for (size_t i = next_++; i < plan_.jobs.size() && !failed_; i = next_++) {
      PackContext context{source_, plan_.runs, weights_, scratch, stop};
      absl::Status status =
          stop() ? absl::CancelledError("the load was cancelled") : plan_.jobs[i].run(context);
      std::lock_guard lock(mutex_);
      if (!status.ok() && !failed_.exchange(true)) error_ = std::move(status);
      done_ += plan_.jobs[i].bytes;
      if (control_.progress && !failed_) control_.progress(done_, total_);
    }
  }

  bool Stopped() {
    if (failed_) return true;
    std::lock_guard lock(mutex_);
    return control_.cancelled && control_.cancelled();
  }

  const AdapterPlan& plan_;
  const AdapterSource& source_;
  const PackControl& control_;
  AdapterWeights& weights_;
  uint64_t total_ = 0;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  uint64_t done_ = 0;
  absl::Status error_;
};

}  // namespace

absl::Status PackAdapter(const AdapterPlan& plan, const AdapterSource& source, const PackControl& control,
                         AdapterWeights& weights) {
  GH_RETURN_IF_ERROR(PackRun(plan, source, control, weights).Run());
  return source.CheckUnchanged();
}

}  // namespace guildhall
