// Events per second over the last ten seconds.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/time/time.h"

namespace guildhall {

// Ten buckets of one second. Not thread-safe; copied as a value.
class RateWindow {
 public:
  explicit RateWindow(absl::Time start) : start_(start) {}

  void Add(absl::Time now, uint64_t events) {
    const int64_t second = absl::ToUnixSeconds(now);
    Bucket& bucket = buckets_[static_cast<size_t>(second % kSeconds)];
    if (bucket.second != second) bucket = {.second = second};
    bucket.events += events;
  }

  double PerSecond(absl::Time now) const {
    const int64_t second = absl::ToUnixSeconds(now);
    uint64_t events = 0;
    for (const Bucket& bucket : buckets_) {
      if (bucket.second > second - kSeconds && bucket.second <= second) events += bucket.events;
    }
    // The current second is not over, and right after the start there are fewer than ten.
    const absl::Time begin = std::max(start_, absl::FromUnixSeconds(second - kSeconds + 1));
    return static_cast<double>(events) / std::max(1.0, absl::ToDoubleSeconds(now - begin));
  }

 private:
  static constexpr int64_t kSeconds = 10;
  struct Bucket {
    int64_t second = -1;
    uint64_t events = 0;
  };
  std::array<Bucket, kSeconds> buckets_;
  absl::Time start_;
};

}  // namespace guildhall
