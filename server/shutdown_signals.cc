#include "server/shutdown_signals.h"

#include <unistd.h>
#include <csignal>
#include <ctime>

#include <utility>

#include "base/log.h"
#include "base/thread_name.h"

namespace guildhall {
namespace {

sigset_t ShutdownSet() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

}  // namespace

ShutdownSignals::ShutdownSignals(std::function<void(const char* name)> on_first)
    : on_first_(std::move(on_first)) {
  const sigset_t set = ShutdownSet();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A reader of our output that goes away must not take the server with it.
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Run(); });
}

ShutdownSignals::~ShutdownSignals() {
  stop_ = true;
  thread_.join();
  const sigset_t set = ShutdownSet();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

void ShutdownSignals::Run() {
  NameThread("signals");
  const sigset_t set = ShutdownSet();
  const timespec interval{0, 100'000'000};
  bool asked = false;
  while (!stop_) {
    const int signal = sigtimedwait(&set, nullptr, &interval);
    if (signal < 0) continue;
    const char* name = signal == SIGTERM ? "SIGTERM" : "SIGINT";
    if (asked) {
      Log().error("second signal ({}): ending at once", name);
      _exit(128 + signal);
    }
    asked = true;
    on_first_(name);
  }
}

}  // namespace guildhall
