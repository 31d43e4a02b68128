// The threads on which calls are answered. A call that waits for its client holds none of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "base/once_per_minute.h"
#include "server/call_kind.h"

namespace guildhall {

// Thread-safe. Threads come with the work, up to a limit, and go when they have had none for a while.
class CallThreads {
 public:
  struct Limits {
    int64_t threads = 64;
    PerKind calls{};  // of each kind, running or waiting for a thread
  };

  explicit CallThreads(const Limits& limits) : limits_(limits) {}
  ~CallThreads();  // waits for what runs

  // `work` runs soon on a thread of this; it does not throw. RESOURCE_EXHAUSTED with a RetryInfo:
  // over the limit of its kind, or the system gives no thread.
  absl::Status Run(CallKind kind, std::function<void()> work);

  int64_t threads() const;

 private:
  struct Work {
    CallKind kind;
    std::function<void()> run;
  };

  // Says why not; empty: it has.
  std::string StartThread();
  void Serve();

  const Limits limits_;
  OncePerMinute no_thread_line_;
  mutable std::mutex mutex_;
  std::condition_variable work_comes_, thread_ends_;
  std::deque<Work> waiting_;
  PerKind calls_{};
  int64_t threads_ = 0, idle_ = 0;
  bool ends_ = false;
};

}  // namespace guildhall
