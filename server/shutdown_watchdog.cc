#include "server/shutdown_watchdog.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <system_error>

#include "base/log.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

// "running", "in uninterruptible sleep", or "" for one that just waits. A thread in a read that blocks waits
// in that system call: those of files and pipes are told apart from waiting for another thread.
std::string BusyState(const std::string& task) {
  std::ifstream stat(task + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= line.size()) return "";
  if (line[name_end + 2] == 'R') return "running";
  if (line[name_end + 2] == 'D') return "in uninterruptible sleep";
  long call = -1;
  std::ifstream syscall_file(task + "/syscall");
  if (!(syscall_file >> call)) return "";
  return call == SYS_read || call == SYS_pread64 || call == SYS_readv ? "in a read" : "";
}

// The line of the end waits for whoever reads the log, who may be what hangs: it gets a second.
void EndEvenIfNobodyReadsTheLog() {
  try {
    std::thread([] {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      _exit(ShutdownWatchdog::kExitCode);
    }).detach();
  } catch (const std::system_error&) {  // then the line has to be read
  }
}

}  // namespace

std::string BusyThreads() {
  std::string busy;
  const std::string own = StrCat(syscall(SYS_gettid));
  DIR* const tasks = opendir("/proc/self/task");
  while (const dirent* const entry = tasks == nullptr ? nullptr : readdir(tasks)) {
    if (entry->d_name[0] == '.' || own == entry->d_name) continue;
    const std::string task = std::string("/proc/self/task/") + entry->d_name;
    const std::string state = BusyState(task);
    if (state.empty()) continue;
    std::string name;
    std::ifstream comm(task + "/comm");
    std::getline(comm, name);
    StrAppend(&busy, busy.empty() ? "" : ", ", name, " (", state, ")");
  }
  if (tasks != nullptr) closedir(tasks);
  return busy.empty() ? "none" : busy;
}

ShutdownWatchdog::~ShutdownWatchdog() {
  {
    const std::lock_guard lock(mutex_);
    disarmed_ = true;
  }
  over_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ShutdownWatchdog::Arm(absl::Duration limit) {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable() || disarmed_) return;
  // Another clock than the system's, which somebody may set.
  const auto end = std::chrono::steady_clock::now() + absl::ToChronoMilliseconds(limit);
  try {
    thread_ = std::thread([this, end] { Run(end); });
  } catch (const std::system_error& error) {
    Log().warn("the end of the process is not watched: no thread for it ({})", error.what());
  }
}

void ShutdownWatchdog::Run(std::chrono::steady_clock::time_point end) {
  std::unique_lock lock(mutex_);
  if (over_.wait_until(lock, end, [this] { return disarmed_; })) return;
  EndEvenIfNobodyReadsTheLog();
  Log().error("the shutdown hangs and is ended by force: it waited for {}; threads at work: {}",
              stage_.load(), BusyThreads());
  Log().flush();
  _exit(kExitCode);
}

}  // namespace guildhall
