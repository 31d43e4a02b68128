// The clock of profiles and traces.
#pragma once

#include <chrono>
#include <cstdint>

namespace guildhall {

// Nanoseconds of the monotonic clock.
inline int64_t SteadyNs() {
  using namespace std::chrono;
  return duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count();
}

}  // namespace guildhall
