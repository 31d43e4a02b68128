// Until when the work for one request may go on, and whether anybody still waits for it.
#pragma once

#include <functional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace guildhall {

// Handed down to whatever may take long for one request: it calls Check between pieces of a few
// milliseconds, so that the end of a call is seen within 50 ms. Without fields the work is never ended.
// Thread-safe if `cancelled` is.
struct WorkLimit {
  absl::Time deadline = absl::InfiniteFuture();
  std::function<bool()> cancelled = {};  // cheap, from any thread; empty: never

  // CANCELLED or DEADLINE_EXCEEDED once nobody waits any more.
  absl::Status Check() const;
};

}  // namespace guildhall
