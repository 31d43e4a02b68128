// The threads on which calls are answered. A call that waits for its client holds none of them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
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
    PerKind calls{};    // of each kind, running or waiting for a thread
    PerKind of_host{};  // the same, of the clients of one address; 0: as many as of all
  };

  explicit CallThreads(const Limits& limits) : limits_(limits) {}
  ~CallThreads();  // waits for what runs

  // `work` runs soon on a thread of this; it does not throw. `peer` is the client as Call names it; those of
  // Unix sockets have no address of their own. RESOURCE_EXHAUSTED with a RetryInfo: over a limit of its
  // kind, or the system gives no thread.
  absl::Status Run(CallKind kind, const std::string& peer, std::function<void()> work);

  int64_t threads() const;

 private:
  struct Work {
    CallKind kind;
    std::string host;
    std::function<void()> run;
  };

  absl::Status CheckLimits(CallKind kind, const std::string& host) const;
  // Says why not; empty: it has.
  std::string StartThread();
  void Serve();

  const Limits limits_;
  OncePerMinute no_thread_line_;
  mutable std::mutex mutex_;
  std::condition_variable work_comes_, thread_ends_;
  std::deque<Work> waiting_;
  PerKind calls_{};
  std::map<std::string, PerKind> of_hosts_;  // of addresses that have calls
  int64_t threads_ = 0, idle_ = 0;
  bool ends_ = false;
};

}  // namespace guildhall
