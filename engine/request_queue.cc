#include "engine/request_queue.h"

#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// ToChronoTime saturates, but not every libstdc++ wait survives the largest time point.
template <typename Predicate>
bool WaitUntil(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, absl::Time deadline,
               Predicate predicate) {
  if (deadline == absl::InfiniteFuture()) {
    condition.wait(lock, predicate);
    return true;
  }
  return condition.wait_until(lock, absl::ToChronoTime(deadline), predicate);
}

}  // namespace

RequestQueue::RequestQueue(int max_queued, const std::vector<TaskPolicy>& tasks)
    : max_queued_(max_queued), tasks_(tasks), counts_(tasks.size()) {}

absl::Status RequestQueue::Push(std::unique_ptr<Sequence> sequence) {
  const auto task = static_cast<size_t>(sequence->task);
  const TaskPolicy& policy = tasks_[task];
  {
    std::lock_guard lock(mutex_);
    TaskCounts& counts = counts_[task];
    if (closed_) {
      ++counts.rejected;
      return absl::UnavailableError("the server is shutting down and takes no new requests; try another one");
    }
    if (queued_ >= max_queued_) {
      ++counts.rejected;
      return absl::ResourceExhaustedError(StrCat("the request queue is full: ", queued_, " of ", max_queued_,
                                                 " places are taken; try again later"));
    }
    if (counts.queued >= policy.max_queued) {
      ++counts.rejected;
      return absl::ResourceExhaustedError(StrCat("the queue of task \"", policy.id,
                                                 "\" is full: ", counts.queued, " of ", policy.max_queued,
                                                 " places are taken; try again later"));
    }
    sequence->arrival = next_arrival_++;
    inbox_.push_back(std::move(sequence));
    ++counts.queued;
    ++counts.accepted;
    ++queued_;
    ++live_;
    signalled_ = true;
  }
  wake_.notify_one();
  return absl::OkStatus();
}

void RequestQueue::CountRejected(int32_t task) {
  std::lock_guard lock(mutex_);
  ++counts_[static_cast<size_t>(task)].rejected;
}

void RequestQueue::TakeAll(std::vector<std::unique_ptr<Sequence>>& waiting, size_t spare) {
  std::lock_guard lock(mutex_);
  const size_t needed = waiting.size() + inbox_.size() + spare;
  if (waiting.capacity() < needed) waiting.reserve(2 * needed);
  for (std::unique_ptr<Sequence>& sequence : inbox_) waiting.push_back(std::move(sequence));
  inbox_.clear();
}

void RequestQueue::Admitted(int32_t task) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = counts_[static_cast<size_t>(task)];
  GH_CHECK_GT(counts.queued, 0);
  --counts.queued;
  --queued_;
  ++counts.running;
}

void RequestQueue::Preempted(int32_t task) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = counts_[static_cast<size_t>(task)];
  --counts.running;
  ++counts.queued;
  ++queued_;
}

void RequestQueue::Ending(int32_t task, bool was_queued) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = counts_[static_cast<size_t>(task)];
  int& line = was_queued ? counts.queued : counts.running;
  GH_CHECK_GT(line, 0);
  --line;
  if (was_queued) --queued_;
}

void RequestQueue::Ended(size_t count) {
  std::lock_guard lock(mutex_);
  GH_CHECK_GE(live_, count);
  live_ -= count;
  if (live_ == 0) empty_.notify_all();
}

void RequestQueue::Sleep(absl::Time deadline) {
  std::unique_lock lock(mutex_);
  WaitUntil(wake_, lock, deadline, [&] { return signalled_; });
  signalled_ = false;
}

void RequestQueue::Wake() {
  {
    std::lock_guard lock(mutex_);
    signalled_ = true;
  }
  wake_.notify_one();
}

void RequestQueue::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

bool RequestQueue::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

bool RequestQueue::WaitUntilEmpty(absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  return WaitUntil(empty_, lock, deadline, [&] { return live_ == 0; });
}

std::vector<RequestQueue::TaskCounts> RequestQueue::Counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace guildhall
