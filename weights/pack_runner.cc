#include "weights/pack_runner.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_priority.h"

namespace guildhall {
namespace {

// The items of one load and the threads that take them in turn.
class PackRun {
 public:
  PackRun(std::span<const PackedItem> items, const PackControl& control, const PackWork& work)
      : items_(items), control_(control), work_(work) {
    for (const PackedItem& item : items) total_ += item.bytes;
  }

  absl::Status Run() {
    if (control_.progress) control_.progress(0, total_);
    const int helpers = control_.low_priority ? control_.threads : control_.threads - 1;
    const size_t most = std::min(static_cast<size_t>(helpers), items_.size());
    std::vector<std::jthread> threads;
    threads.reserve(most);
    try {
      while (threads.size() < most) {
        threads.emplace_back([this] {
          if (control_.low_priority) LowerThreadPriority();
          Work();
        });
      }
    } catch (const std::system_error&) {
      // Those that could be started do it all.
    }
    if (!control_.low_priority || threads.empty()) Work();
    threads.clear();
    if (thrown_ != nullptr) std::rethrow_exception(thrown_);
    return std::move(error_);
  }

 private:
  void Work() {
    try {
      WorkOnItems();
    } catch (...) {  // most likely there is no memory left: whoever asked for the run hears of it
      std::lock_guard lock(mutex_);
      if (!failed_.exchange(true)) thrown_ = std::current_exception();
    }
  }

  void WorkOnItems() {
    PackScratch scratch([this] { return Stopped(); });
    for (size_t i = next_++; i < items_.size() && !failed_; i = next_++) {
      absl::Status status = scratch.CheckStopped();
      if (status.ok()) status = work_(items_[i], scratch);
      std::lock_guard lock(mutex_);
      if (!status.ok() && !failed_.exchange(true)) error_ = std::move(status);
      done_ += items_[i].bytes;
      if (control_.progress && !failed_) control_.progress(done_, total_);
    }
  }

  bool Stopped() {
    if (failed_) return true;
    std::lock_guard lock(mutex_);
    return control_.cancelled && control_.cancelled();
  }

  const std::span<const PackedItem> items_;
  const PackControl& control_;
  const PackWork& work_;
  uint64_t total_ = 0;
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  uint64_t done_ = 0;
  absl::Status error_;
  std::exception_ptr thrown_;
};

absl::Status Named(const PackedItem& item, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), StrCat(item.name, ": ", status.message()));
}

}  // namespace

absl::Status ForEachItem(std::span<const PackedItem> items, const PackControl& control,
                         const PackWork& work) {
  return PackRun(items, control, work).Run();
}

absl::Status PackItems(std::span<const PackedItem> items, std::span<std::byte* const> runs,
                       DeviceMemory& memory, const PackControl& control) {
  return ForEachItem(items, control, [&](const PackedItem& item, PackScratch& scratch) -> absl::Status {
    GH_CHECK_LT(item.run, runs.size());
    const absl::StatusOr<HostTwin> twin = memory.MakeTwin(runs[item.run] + item.offset, item.bytes);
    if (!twin.ok()) return Named(item, twin.status());
    GH_RETURN_IF_ERROR(item.fill(twin->data(), scratch));
    return Named(item, memory.Upload(*twin));
  });
}

}  // namespace guildhall
