#include "weights/reclaim_thread.h"

#include <utility>

#include "base/thread_name.h"

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
  NameThread("reclaim");
  for (;;) {
    bool stopping = false;
    {
      const std::lock_guard lock(mutex_);
      stopping = stopping_;
    }
    uint64_t items = 0;
    for (ReclaimItem* item = queue_->TakeAll(); item != nullptr; ++items) {
      reclaim_(std::exchange(item, item->next));
    }
    after_();
    if (items > 0) {
      const std::lock_guard lock(mutex_);
      reclaimed_ += items;
      progressed_.notify_all();
      continue;  // the items may have been the last holders of others
    }
    if (stopping) return;
    queue_->Wait();
  }
}

}  // namespace guildhall
