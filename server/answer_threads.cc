#include "server/answer_threads.h"

#include <utility>

#include "base/thread_name.h"

namespace guildhall {

AnswerThreads::AnswerThreads(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Serve(); });
}

AnswerThreads::~AnswerThreads() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  work_comes_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void AnswerThreads::Post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  work_comes_.notify_one();
}

void AnswerThreads::Serve() {
  NameThread("answer");
  std::unique_lock lock(mutex_);
  while (true) {
    work_comes_.wait(lock, [this] { return ends_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
}

}  // namespace guildhall
