// The engine's front door: submitting threads put sequences in, the engine thread takes them out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/sequence.h"
#include "engine/task_table.h"

namespace guildhall {

// The end of every request from the moment on when no step can be computed any more.
inline constexpr std::string_view kDeviceLost =
    "the device that the model runs on has failed for good; the server must be started again";

// Bounded, with a quota for each task; knows the tasks, so that a request finds its task and a place in one
// moment. A sequence counts as queued while it waits for its first rows, and
// again while it waits after a preemption. Also the engine thread's place to sleep, and the place where a
// drain waits. Thread-safe; the engine thread holds the lock for a few moves of pointers only.
class RequestQueue {
 public:
  explicit RequestQueue(int max_queued) : max_queued_(max_queued) {}

  // Any thread. As Engine's; the engine thread learns of it with the next TakeAll.
  absl::Status PutTask(const TaskPolicy& policy);
  absl::Status DeleteTask(const std::string& id);
  absl::Status CheckTask(const std::string& id) const;  // NOT_FOUND
  std::vector<TaskTable::Entry> Tasks() const;          // by index, those that do not live as well

  // Submitting threads. Sets the sequence's task and arrival. NOT_FOUND, RESOURCE_EXHAUSTED or UNAVAILABLE;
  // the sequence is then gone.
  absl::Status Push(std::unique_ptr<Sequence> sequence);
  void CountRejected(const std::string& id);

  // Engine thread. Moves all that came to the back of `waiting`, which gets room for `spare` more; `changes`
  // is what became of the tasks before. May throw bad_alloc; then nothing has moved.
  void TakeAll(std::vector<std::unique_ptr<Sequence>>& waiting, size_t spare,
               std::vector<TaskChange>& changes);
  void Admitted(int32_t task);
  void Preempted(int32_t task);
  void Ending(int32_t task, bool was_queued);  // leaves the counts
  void Ended(size_t count);                    // after the ends were sent: what a drain waits for
  // Sleeps until Wake(), a Push or `deadline`; not at all if there was one since the last call.
  void Sleep(absl::Time deadline);

  void Wake();
  void Close();  // Push: UNAVAILABLE from now on
  bool closed() const;
  void LoseDevice();  // the same, with another reason
  // Waits until every accepted sequence has ended. False: `deadline` came first.
  bool WaitUntilEmpty(absl::Time deadline) const;

 private:
  absl::Status FindPlace(int32_t task);  // under the lock

  const int max_queued_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  mutable std::condition_variable empty_;
  std::vector<std::unique_ptr<Sequence>> inbox_;
  TaskTable tasks_;
  int queued_ = 0;   // all tasks
  size_t live_ = 0;  // accepted and not ended
  uint64_t next_arrival_ = 0;
  bool signalled_ = false;
  bool closed_ = false;
  bool device_lost_ = false;
};

}  // namespace guildhall
