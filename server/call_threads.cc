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

absl::Status Refusal(const std::string& why) {
  return WithRetry(absl::ResourceExhaustedError(why), absl::Seconds(1));
}

// "ipv4:10.0.0.7:4711" without its port. Empty: the client has no address.
std::string HostOf(const std::string& peer) {
  return peer.starts_with("ipv") ? peer.substr(0, peer.rfind(':')) : "";
}

}  // namespace

CallThreads::~CallThreads() {
  std::unique_lock lock(mutex_);
  ends_ = true;
  work_comes_.notify_all();
  thread_ends_.wait(lock, [this] { return threads_ == 0; });
}

absl::Status CallThreads::CheckLimits(CallKind kind, const std::string& host) const {
  const int64_t most = limits_.calls[IndexOf(kind)], most_of_host = limits_.of_host[IndexOf(kind)];
  if (calls_[IndexOf(kind)] >= most) {
    return Refusal(StrCat("the server has its limit of ", most, " calls of this kind open; try again later"));
  }
  const auto at = of_hosts_.find(host);
  if (most_of_host == 0 || host.empty() || at == of_hosts_.end()) return absl::OkStatus();
  if (at->second[IndexOf(kind)] < most_of_host) return absl::OkStatus();
  return Refusal(StrCat("the client's address has its limit of ", most_of_host,
                        " calls of this kind open; try again later"));
}

absl::Status CallThreads::Run(CallKind kind, const std::string& peer, std::function<void()> work) {
  std::string host = HostOf(peer);
  std::string no_thread;
  {
    const std::lock_guard lock(mutex_);
    GH_RETURN_IF_ERROR(CheckLimits(kind, host));
    const bool needs_thread = idle_ <= static_cast<int64_t>(waiting_.size()) && threads_ < limits_.threads;
    if (needs_thread) no_thread = StartThread();
    if (no_thread.empty()) {
      ++calls_[IndexOf(kind)];
      ++of_hosts_[host][IndexOf(kind)];
      waiting_.push_back({kind, std::move(host), std::move(work)});
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
    const auto of_host = of_hosts_.find(work.host);
    if (--of_host->second[IndexOf(work.kind)] == 0 && of_host->second == PerKind{}) of_hosts_.erase(of_host);
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
