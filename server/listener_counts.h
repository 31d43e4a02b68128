// What listeners have let in and turned away, for GetStatus and for tests.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>

namespace guildhall {

// Thread-safe. Since the listener's start, but for what is open now.
struct ListenerCounts {
  explicit ListenerCounts(std::string_view listener) : name(listener) {}

  const std::string name;
  std::atomic<int64_t> connections_most{0};  // that may be open at a time
  std::atomic<int64_t> connections{0};       // open now
  std::atomic<uint64_t> accepted_connections{0};
  std::atomic<uint64_t> refused_connections{0};         // at the limit, in all or of their host
  std::atomic<uint64_t> idle_connections_closed{0};     // that made room for others at the limit
  std::atomic<uint64_t> hostile_connections_closed{0};  // for their resets, or for calls over their limit
  std::atomic<uint64_t> accept_failures{0};             // for want of descriptors or memory
  std::atomic<int64_t> calls{0};                        // open now
  std::atomic<uint64_t> refused_calls{0};               // for a limit of the listener or of their connection
  std::atomic<uint64_t> reset_calls{0};                 // whose client left before they ended
};

// Thread-safe. The counts live as long as it does.
class CountsOfListeners {
 public:
  ListenerCounts& Add(std::string_view name) {
    const std::lock_guard lock(mutex_);
    return counts_.emplace_back(name);
  }

  template <typename Function>
  void ForEach(Function&& function) const {
    const std::lock_guard lock(mutex_);
    for (const ListenerCounts& counts : counts_) function(counts);
  }

 private:
  mutable std::mutex mutex_;
  std::deque<ListenerCounts> counts_;
};

}  // namespace guildhall
