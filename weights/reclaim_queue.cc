#include "weights/reclaim_queue.h"

#include <algorithm>

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

std::vector<ReclaimItem*> ReclaimQueue::TakeAll() {
  std::vector<ReclaimItem*> items;
  for (ReclaimItem* item = head_.exchange(nullptr); item != nullptr; item = item->next) items.push_back(item);
  std::reverse(items.begin(), items.end());
  return items;
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
