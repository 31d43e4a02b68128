// The thread that takes care of what was dropped.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "weights/reclaim_queue.h"

namespace guildhall {

// What the last holders leave in `queue` is reclaimed on a thread of its own, in that order. Thread-safe.
class ReclaimThread {
 public:
  // `reclaim` owns its item. `after` is called once what was there has been reclaimed, and after each Wake().
  ReclaimThread(std::function<void(ReclaimItem*)> reclaim, std::function<void()> after);
  // Reclaims what was dropped by then, with what it was the last holder of.
  ~ReclaimThread();
  ReclaimThread(const ReclaimThread&) = delete;
  ReclaimThread& operator=(const ReclaimThread&) = delete;

  // For droppers, who keep it alive.
  const std::shared_ptr<ReclaimQueue>& queue() const { return queue_; }
  // Blocks until what was dropped before the call has been reclaimed.
  void AwaitDropped();

 private:
  void Run();

  const std::shared_ptr<ReclaimQueue> queue_ = std::make_shared<ReclaimQueue>();
  const std::function<void(ReclaimItem*)> reclaim_;
  const std::function<void()> after_;
  std::mutex mutex_;
  std::condition_variable progressed_;
  uint64_t reclaimed_ = 0;  // items
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace guildhall
