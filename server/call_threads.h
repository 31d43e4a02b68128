// The threads on which calls are answered. A call that waits for its client, or whose answer is being
// streamed, holds none of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "base/once_per_minute.h"

namespace guildhall {

// Thread-safe. Threads come with the work, up to a limit, and go when they have had none for a while.
class CallThreads {
 public:
  explicit CallThreads(int64_t most) : most_(most) {}
  ~CallThreads();  // waits for what runs

  // `work` runs soon on a thread of this; it does not throw. RESOURCE_EXHAUSTED with a RetryInfo: the system
  // gives no thread.
  absl::Status Run(std::function<void()> work);

  int64_t threads() const;

 private:
  // Says why not; empty: it has.
  std::string StartThread();
  void Serve();

  const int64_t most_;
  OncePerMinute no_thread_line_;
  mutable std::mutex mutex_;
  std::condition_variable work_comes_, thread_ends_;
  std::deque<std::function<void()>> waiting_;
  int64_t threads_ = 0, idle_ = 0;
  bool ends_ = false;
};

}  // namespace guildhall
