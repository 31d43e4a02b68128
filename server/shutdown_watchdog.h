// The end of the process at its time, whatever its threads do.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace guildhall {

// Thread-safe. A device that hangs, a read that does not return and a call that nobody can end must not keep
// a process that was told to go. Armed, it ends the process by _exit(kExitCode) once the time is over, with
// a line that says what was awaited and which threads were still at work (a second later where nobody reads
// the log). Its destructor disarms it.
class ShutdownWatchdog {
 public:
  static constexpr int kExitCode = 70;

  ShutdownWatchdog() = default;
  ~ShutdownWatchdog();
  ShutdownWatchdog(const ShutdownWatchdog&) = delete;
  ShutdownWatchdog& operator=(const ShutdownWatchdog&) = delete;

  // From now on the process has so long to end. The first call counts. Where the system has no thread for it
  // a line says so, and the end is not watched.
  void Arm(absl::Duration limit);
  // What the end waits for from now on, for the line: a literal.
  void Enter(const char* stage) { stage_ = stage; }

 private:
  void Run(std::chrono::steady_clock::time_point end);

  std::atomic<const char*> stage_{"the server"};
  std::mutex mutex_;
  std::condition_variable over_;
  bool disarmed_ = false;
  std::thread thread_;
};

// The threads of this process but the caller that compute or wait for a device or a file right now, by name:
// "engine (running), loader (in uninterruptible sleep)"; "none" where all others wait for something else.
std::string BusyThreads();

}  // namespace guildhall
