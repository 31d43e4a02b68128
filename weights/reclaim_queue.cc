#include "weights/reclaim_queue.h"

#include <utility>

#include "base/check.h"

namespace guildhall {

ReclaimQueue::~ReclaimQueue() {
  GH_CHECK(head_.load() == nullptr);
}

void ReclaimQueue::Push(ReclaimItem* item) noexcept {
  // Counted first: who has seen the count finds the item processed once so many are.
  pushed_.fetch_add(1);
  item->next = head_.load();
  while (!head_.compare_exchange_weak(item->next, item)) {
  }
  Wake();
}

ReclaimItem* ReclaimQueue::TakeAll() noexcept {
  ReclaimItem* first = nullptr;
  for (ReclaimItem* item = head_.exchange(nullptr); item != nullptr;) {
    ReclaimItem* const pushed_before = std::exchange(item->next, first);
    first = std::exchange(item, pushed_before);
  }
  return first;
}

void ReclaimQueue::Wait() {
  signals_.wait(seen_);
  seen_ = signals_.load();
}

void ReclaimQueue::Wake() {
  signals_.fetch_add(1);
  signals_.notify_one();
}

}  // namespace guildhall
