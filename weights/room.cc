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

std::string Arithmetic(const RoomRefusal& refusal) {
  const Room& room = refusal.room;
  const std::string workspace =
      room.workspace == 0 ? "" : StrCat(" and ", MiB(room.workspace), " of workspace for its steps");
  return StrCat("it needs ", MiB(room.needed - room.workspace), " in pages of ", MiB(refusal.page_bytes),
                workspace, "; of the budget of ", MiB(refusal.budget), ", ", MiB(room.free), " are free, ",
                MiB(room.evictable), " evictable, ", MiB(refusal.pinned), " pinned, ", MiB(refusal.read),
                " held by requests and ", MiB(room.kv_cache), " taken by the KV cache");
}

}  // namespace

RoomStep NextRoomStep(const Room& room) {
  if (room.needed <= room.free) return RoomStep::kPlace;
  if (room.missing() == 0) return RoomStep::kEvict;
  if (room.missing() <= room.of_kv()) return RoomStep::kAskKv;
  return room.missing() <= room.of_kv() + room.held ? RoomStep::kAwaitRequests : RoomStep::kRefuse;
}

absl::Status NoRoom(const RoomRefusal& refusal) {
  return absl::FailedPreconditionError(StrCat("adapter '", refusal.name,
                                              "' does not fit: ", Arithmetic(refusal),
                                              ": unload or unpin adapters, or raise the budget"));
}

absl::Status NoRoomYet(const RoomRefusal& refusal) {
  return absl::UnavailableError(StrCat("adapter '", refusal.name, "' waits for memory: ", Arithmetic(refusal),
                                       ": it fits once requests that run have ended"));
}

}  // namespace guildhall
