#include "weights/reclaim_thread.h"

#include <utility>

namespace guildhall {

ReclaimThread::ReclaimThread(std::function<void(ReclaimItem*)> reclaim, std::function<void()> after)
    : reclaim_(std::move(reclaim)), after_(std::move(after)), thread_([this] { Run(); }) {}

ReclaimThread::~ReclaimThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  queue_->Wake();
  thread_.join();
}

void ReclaimThread::AwaitDropped() {
  const uint64_t dropped = queue_->pushed();
  std::unique_lock lock(mutex_);
  progressed_.wait(lock, [&] { return reclaimed_ >= dropped; });
}

void ReclaimThread::Run() {
  for (;;) {
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      stopping = stopping_;
    }
    const std::vector<ReclaimItem*> items = queue_->TakeAll();
    for (ReclaimItem* item : items) reclaim_(item);
    after_();
    if (!items.empty()) {
      const std::lock_guard lock(mutex_);
      reclaimed_ += items.size();
      progressed_.notify_all();
      continue;  // the items may have been the last holders of others
    }
    if (stopping) return;
    queue_->Wait();
  }
}

}  // namespace guildhall
