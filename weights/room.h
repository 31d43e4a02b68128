// Whether a load finds room, and how it could.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace guildhall {

// Bytes, as of one moment.
struct Room {
  uint64_t needed = 0;     // pages that the load's runs would take, and what the workspace grows by
  uint64_t free = 0;       // of the budget
  uint64_t evictable = 0;  // pages that evicting all that can leave would give back
  uint64_t kv_cache = 0;   // that the KV cache holds
  uint64_t workspace = 0;  // of `needed`, not in pages
  uint64_t kv_least = 0;   // of `kv_cache`, never given back
  uint64_t held = 0;       // more that is free once running requests have ended

  bool operator==(const Room&) const = default;

  // What eviction cannot give.
  uint64_t missing() const { return needed > free + evictable ? needed - free - evictable : 0; }
  uint64_t of_kv() const { return kv_cache > kv_least ? kv_cache - kv_least : 0; }
};

// What must happen next so that the runs fit. Nothing is evicted and nobody asked where that cannot help.
enum class RoomStep {
  kPlace,  // they fit
  kEvict,  // the least recently used of those that can leave; then look again: pages are shared at borders
  kAskKv,  // the KV cache, for what is missing
  kAwaitRequests,  // those that read adapters which could leave; the KV cache is asked, too
  kRefuse,         // it could never fit
};
RoomStep NextRoomStep(const Room& room);

// For the refusal: what is held otherwise.
struct RoomRefusal {
  std::string name;
  Room room;
  uint64_t page_bytes = 0, budget = 0, pinned = 0, read = 0;
};
absl::Status NoRoom(const RoomRefusal& refusal);     // FAILED_PRECONDITION with the arithmetic
absl::Status NoRoomYet(const RoomRefusal& refusal);  // UNAVAILABLE with the same

}  // namespace guildhall
