// Where the last holder of something leaves it, without waiting and without freeing anything.
#pragma once

#include <atomic>
#include <cstdint>

namespace guildhall {

// What can be left for later.
struct ReclaimItem {
  virtual ~ReclaimItem() = default;
  ReclaimItem* next = nullptr;
};

// Push from any thread, without locks; one thread takes. Whoever pushes keeps the queue alive meanwhile.
class ReclaimQueue {
 public:
  ReclaimQueue() = default;
  ReclaimQueue(const ReclaimQueue&) = delete;
  ReclaimQueue& operator=(const ReclaimQueue&) = delete;
  ~ReclaimQueue();  // CHECK: empty

  void Push(ReclaimItem* item) noexcept;
  // The first of what was pushed since, linked by `next` in that order, or null; the taker owns all of it.
  ReclaimItem* TakeAll() noexcept;
  // Returns when something was pushed, or Wake() called, since the last Wait() returned.
  void Wait();
  void Wake();
  // How many were pushed so far.
  uint64_t pushed() const { return pushed_.load(); }

 private:
  std::atomic<ReclaimItem*> head_{nullptr};
  std::atomic<uint64_t> pushed_{0};
  std::atomic<uint32_t> signals_{0};
  uint32_t seen_ = 0;  // the taker's
};

}  // namespace guildhall
