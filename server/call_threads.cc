#include "server/call_threads.h"

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/log.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "base/thread_name.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr std::chrono::seconds kIdleLimit{10};

}  // namespace

CallThreads::~CallThreads() {
  std::unique_lock lock(mutex_);
  ends_ = true;
  work_comes_.notify_all();
  thread_ends_.wait(lock, [this] { return threads_ == 0; });
}

absl::Status CallThreads::Run(std::function<void()> work) {
  std::string no_thread;
  {
    const std::lock_guard lock(mutex_);
    const bool needs_thread = idle_ <= static_cast<int64_t>(waiting_.size()) && threads_ < most_;
    if (needs_thread) no_thread = StartThread();
    if (no_thread.empty()) {
      waiting_.push_back(std::move(work));
      work_comes_.notify_one();
      return absl::OkStatus();
    }
  }
  if (no_thread_line_.Due()) Log().warn("no thread for a call: {}; said once a minute", no_thread);
  return WithRetry(
      absl::ResourceExhaustedError("the system gives the server no further thread; try again later"),
      absl::Seconds(1));
}

std::string CallThreads::StartThread() {
  try {
    std::thread([this] { Serve(); }).detach();
  } catch (const std::system_error& error) {
    return error.what();
  }
  ++threads_;
  return "";
}

void CallThreads::Serve() {
  NameThread("call");
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    work_comes_.wait_for(lock, kIdleLimit, [this] { return ends_ || !waiting_.empty(); });
    --idle_;
    if (waiting_.empty()) break;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
  --threads_;
  // Under the lock: the destructor must not go on before this thread is done with the members.
  thread_ends_.notify_all();
}

int64_t CallThreads::threads() const {
  const std::lock_guard lock(mutex_);
  return threads_;
}

}  // namespace guildhall
