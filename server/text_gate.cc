#include "server/text_gate.h"

#include <algorithm>
#include <thread>

namespace guildhall {

TextGate::TextGate() : short_(std::max(2u, std::thread::hardware_concurrency())) {}

absl::StatusOr<WorkGate::Pass> TextGate::Enter(size_t bytes, const WorkLimit& limit) {
  return bytes > kLongBytes ? long_.Enter(limit) : short_.Enter(limit);
}

}  // namespace guildhall
