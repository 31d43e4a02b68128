// A line that says how far a load is.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace guildhall {

// Writes to standard error: redrawn in place on a terminal, else one line per five seconds. Ends its line
// when it goes. Called under the loader's lock.
class LoadProgress {
 public:
  explicit LoadProgress(std::string what);
  ~LoadProgress();

  void Update(size_t done_bytes, size_t total_bytes);

 private:
  using Clock = std::chrono::steady_clock;

  void Print(size_t done_bytes, size_t total_bytes);

  std::string what_;
  bool terminal_;
  bool printed_ = false;
  Clock::time_point start_, last_;
};

}  // namespace guildhall
