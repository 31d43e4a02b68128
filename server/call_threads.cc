#include "server/call_threads.h"

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/log.h"
#include "base/str_cat.h"
#include "base/thread_name.h"
#include "server/error_details.h"

namespace guildhall {
namespace {

constexpr std::chrono::seconds kIdleLimit{10};

absl::Status Refusal(const std::string& why) {
  return WithRetry(absl::ResourceExhaustedError(why), absl::Seconds(1));
}

}  // namespace

CallThreads::~CallThreads() {
  std::unique_lock lock(mutex_);
  ends_ = true;
  work_comes_.notify_all();
  thread_ends_.wait(lock, [this] { return threads_ == 0; });
}

absl::Status CallThreads::Run(CallKind kind, std::function<void()> work) {
  std::string no_thread;
  {
    const std::lock_guard lock(mutex_);
    int64_t& calls = calls_[IndexOf(kind)];
    const int64_t most = limits_.calls[IndexOf(kind)];
    if (calls >= most) {
      return Refusal(
          StrCat("the server has its limit of ", most, " calls of this kind open; try again later"));
    }
    const bool needs_thread = idle_ <= static_cast<int64_t>(waiting_.size()) && threads_ < limits_.threads;
    if (needs_thread) no_thread = StartThread();
    if (no_thread.empty()) {
      ++calls;
      waiting_.push_back({kind, std::move(work)});
      work_comes_.notify_one();
      return absl::OkStatus();
    }
  }
  if (no_thread_line_.Due()) Log().warn("no thread for a call: {}; said once a minute", no_thread);
  return Refusal("the system gives the server no further thread; try again later");
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
    Work work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work.run();
    work.run = nullptr;
    lock.lock();
    --calls_[IndexOf(work.kind)];
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
