#include "weights/room.h"

#include <cstdio>

#include "base/str_cat.h"

namespace guildhall {
namespace {

std::string MiB(uint64_t bytes) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

}  // namespace

RoomStep NextRoomStep(const Room& room) {
  if (room.needed <= room.free) return RoomStep::kPlace;
  if (room.missing() == 0) return RoomStep::kEvict;
  return room.missing() <= room.kv_cache ? RoomStep::kAskKv : RoomStep::kRefuse;
}

absl::Status NoRoom(const RoomRefusal& refusal) {
  const Room& room = refusal.room;
  const std::string workspace =
      room.workspace == 0 ? "" : StrCat(" and ", MiB(room.workspace), " of workspace for its steps");
  return absl::FailedPreconditionError(
      StrCat("adapter '", refusal.name, "' does not fit: it needs ", MiB(room.needed - room.workspace),
             " in pages of ", MiB(refusal.page_bytes), workspace, "; of the budget of ", MiB(refusal.budget),
             ", ", MiB(room.free), " are free, ", MiB(room.evictable), " evictable, ", MiB(refusal.pinned),
             " pinned, ", MiB(refusal.read), " held by requests and ", MiB(room.kv_cache),
             " taken by the KV cache: unload or unpin adapters, or raise the budget"));
}

}  // namespace guildhall
