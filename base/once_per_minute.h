// For log lines that a client could otherwise cause without end.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/clock.h"

namespace guildhall {

// Thread-safe.
class OncePerMinute {
 public:
  // True for the first one of a minute.
  bool Due() {
    constexpr int64_t kMinute = 60'000'000'000;
    const int64_t now = absl::GetCurrentTimeNanos();
    int64_t last = last_.load(std::memory_order_relaxed);
    return (last == 0 || now - last >= kMinute) && last_.compare_exchange_strong(last, now);
  }

 private:
  std::atomic<int64_t> last_{0};
};

}  // namespace guildhall
