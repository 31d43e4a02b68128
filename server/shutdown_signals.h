// SIGTERM and SIGINT as calls on a thread of our own.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace guildhall {

// The first signal calls `on_first` (on the signal thread; a name for the log comes along), the second ends
// the process at once. Made before any other thread of the process, because threads inherit the blocked
// signals. One per process.
class ShutdownSignals {
 public:
  explicit ShutdownSignals(std::function<void(const char* name)> on_first);
  ~ShutdownSignals();
  ShutdownSignals(const ShutdownSignals&) = delete;
  ShutdownSignals& operator=(const ShutdownSignals&) = delete;

 private:
  void Run();

  std::function<void(const char* name)> on_first_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace guildhall
