// Connections in the order of how long they have been without calls.
#pragma once

#include <cstdint>
#include <list>

namespace guildhall {

// Each function takes the same time however many connections there are, and only Add allocates.
// Not thread-safe.
class IdleOrder {
 public:
  using Place = std::list<uint64_t>::iterator;
  static constexpr uint64_t kNobody = 0;

  IdleOrder() = default;
  IdleOrder(const IdleOrder&) = delete;
  IdleOrder& operator=(const IdleOrder&) = delete;

  // Counts as busy.
  Place Add(uint64_t connection) { return order_.insert(order_.end(), connection); }
  void Remove(Place place) { order_.erase(place); }
  void SetIdle(Place place) { order_.splice(border_, order_, place); }
  void SetBusy(Place place) { order_.splice(order_.end(), order_, place); }
  // The one that has been idle for longest, or kNobody.
  uint64_t Longest() const { return order_.front(); }

 private:
  // The idle ones, the longest first; kNobody; the busy ones.
  std::list<uint64_t> order_{kNobody};
  const Place border_ = order_.begin();
};

}  // namespace guildhall
