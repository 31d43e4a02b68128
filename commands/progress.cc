#include "commands/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace guildhall {

LoadProgress::LoadProgress(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1), start_(Clock::now()), last_(start_) {}

LoadProgress::~LoadProgress() {
  if (printed_ && terminal_) std::fprintf(stderr, "\n");
}

void LoadProgress::Update(size_t done_bytes, size_t total_bytes) {
  const Clock::time_point now = Clock::now();
  const auto period = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (now - last_ < period && !(terminal_ && printed_ && done_bytes == total_bytes)) return;
  last_ = now;
  Print(done_bytes, total_bytes);
}

void LoadProgress::Print(size_t done_bytes, size_t total_bytes) {
  printed_ = true;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = static_cast<double>(done_bytes) / seconds;
  std::fprintf(stderr, "%s%s: %.2f of %.2f GB, %.0f MB/s, %.0f s left%s", terminal_ ? "\r\033[2K" : "",
               what_.c_str(), static_cast<double>(done_bytes) * 1e-9, static_cast<double>(total_bytes) * 1e-9,
               rate * 1e-6, static_cast<double>(total_bytes - done_bytes) / rate, terminal_ ? "" : "\n");
  std::fflush(stderr);
}

}  // namespace guildhall
