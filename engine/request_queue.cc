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

absl::Status RequestQueue::PutTask(const TaskPolicy& policy) {
  std::lock_guard lock(mutex_);
  return tasks_.Put(policy);
}

absl::Status RequestQueue::DeleteTask(const std::string& id) {
  std::lock_guard lock(mutex_);
  return tasks_.Delete(id);
}

absl::Status RequestQueue::CheckTask(const std::string& id) const {
  std::lock_guard lock(mutex_);
  return tasks_.Find(id) < 0 ? NoSuchTask(id) : absl::OkStatus();
}

std::vector<TaskTable::Entry> RequestQueue::Tasks() const {
  std::lock_guard lock(mutex_);
  return tasks_.entries();
}

absl::Status RequestQueue::Push(std::unique_ptr<Sequence> sequence) {
  const std::string& id = sequence->request->task;
  {
    std::lock_guard lock(mutex_);
    sequence->task = tasks_.Find(id);
    if (sequence->task < 0) return NoSuchTask(id);
    if (absl::Status status = FindPlace(sequence->task); !status.ok()) {
      ++tasks_[sequence->task].counts.rejected;
      return status;
    }
    TaskCounts& counts = tasks_[sequence->task].counts;
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

absl::Status RequestQueue::FindPlace(int32_t task) {
  const TaskTable::Entry& entry = tasks_[task];
  if (device_lost_) return absl::UnavailableError(absl::string_view(kDeviceLost.data(), kDeviceLost.size()));
  if (closed_) {
    return absl::UnavailableError("the server is shutting down and takes no new requests; try another one");
  }
  if (queued_ >= max_queued_) {
    return absl::ResourceExhaustedError(StrCat("the request queue is full: ", queued_, " of ", max_queued_,
                                               " places are taken; try again later"));
  }
  if (entry.counts.queued >= entry.policy.max_queued) {
    return absl::ResourceExhaustedError(
        StrCat("the queue of task \"", entry.policy.id, "\" is full: ", entry.counts.queued, " of ",
               entry.policy.max_queued, " places are taken; try again later"));
  }
  return absl::OkStatus();
}

void RequestQueue::CountRejected(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (const int32_t task = tasks_.Find(id); task >= 0) ++tasks_[task].counts.rejected;
}

void RequestQueue::TakeAll(std::vector<std::unique_ptr<Sequence>>& waiting, size_t spare,
                           std::vector<TaskChange>& changes) {
  std::lock_guard lock(mutex_);
  const size_t needed = waiting.size() + inbox_.size() + spare;
  if (waiting.capacity() < needed) waiting.reserve(2 * needed);
  tasks_.TakeChanges(changes);
  for (std::unique_ptr<Sequence>& sequence : inbox_) waiting.push_back(std::move(sequence));
  inbox_.clear();
}

void RequestQueue::Admitted(int32_t task) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = tasks_[task].counts;
  GH_CHECK_GT(counts.queued, 0);
  --counts.queued;
  --queued_;
  ++counts.running;
}

void RequestQueue::Preempted(int32_t task) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = tasks_[task].counts;
  --counts.running;
  ++counts.queued;
  ++queued_;
}

void RequestQueue::Ending(int32_t task, bool was_queued) {
  std::lock_guard lock(mutex_);
  TaskCounts& counts = tasks_[task].counts;
  int& line = was_queued ? counts.queued : counts.running;
  GH_CHECK_GT(line, 0);
  --line;
  if (was_queued) --queued_;
  tasks_.Left(task);
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

void RequestQueue::LoseDevice() {
  std::lock_guard lock(mutex_);
  device_lost_ = true;
}

bool RequestQueue::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

bool RequestQueue::WaitUntilEmpty(absl::Time deadline) const {
  std::unique_lock lock(mutex_);
  return WaitUntil(empty_, lock, deadline, [&] { return live_ == 0; });
}

}  // namespace guildhall
