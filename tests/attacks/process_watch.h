// What /proc says of a server, sampled while it is attacked, and what its health says.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace guildhall::attacks {

struct ProcessFigures {
  int64_t resident_bytes = 0;
  int64_t threads = 0;
  int64_t descriptors = 0;
  double cpu_seconds = 0.0;
};

// None: there is no such process (any more).
std::optional<ProcessFigures> ReadProcess(pid_t pid);

// Samples the process, if `pid` is one, and asks readiness of the server at `address`, until it goes.
class ProcessWatch {
 public:
  ProcessWatch(pid_t pid, const std::string& address);
  ~ProcessWatch();

  // The greatest values so far (cpu: the newest). Of a process that nobody names: zeros.
  ProcessFigures peak() const;
  int64_t health_checks() const { return health_checks_; }
  // Checks that were not answered SERVING within 10 s.
  int64_t unhealthy() const { return unhealthy_; }

 private:
  void Sample();
  void AskHealth(const std::string& address);

  const pid_t pid_;
  std::atomic<bool> stop_ = false;
  std::atomic<int64_t> resident_bytes_ = 0, threads_ = 0, descriptors_ = 0, health_checks_ = 0,
                       unhealthy_ = 0;
  std::jthread sampler_, asker_;
};

}  // namespace guildhall::attacks
