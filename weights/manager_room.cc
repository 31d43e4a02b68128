// How the weight manager's load thread gets room.
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/kv_wish.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {

// Gives the runs their places. Evicts and asks the KV cache where that helps, and changes nothing where it
// cannot help.
absl::Status WeightManager::Impl::MakeRoom(const LoadJob& job, std::vector<Run>& runs) {
  const std::lock_guard one(kv_wishes);
  KvWish wish(*budget, options.kv_patience);
  for (;;) {
    AwaitFreed();  // or what is on its way out would be neither free nor evictable
    uint64_t seen = 0;
    {
      const std::lock_guard lock(mutex);
      if (job.cancel) {
        return absl::CancelledError(StrCat("adapter '", job.version->info.name, "': the load was cancelled"));
      }
      seen = changes;
    }
    const Room room = LookForRoom(runs);
    switch (NextRoomStep(room)) {
      case RoomStep::kPlace: {
        const absl::Status allocated = Place(runs);
        // Either the system refused, or the KV cache was faster.
        if (allocated.ok() || room.needed <= budget->free()) return allocated;
        break;
      }
      case RoomStep::kEvict: {
        const std::lock_guard lock(mutex);
        book.EvictOldest();
        break;
      }
      case RoomStep::kAskKv: {
        const KvWish::Next next = wish.Ask(room.missing(), absl::Now());
        if (next == KvWish::Next::kGiveUp) return Refuse(job, room);
        if (next == KvWish::Next::kLookAgain) break;
        Lock lock(mutex);
        WaitUntil(lock, wish.until(), [&] { return changes != seen; });
        break;
      }
      case RoomStep::kRefuse:
        return Refuse(job, room);
    }
  }
}

// Runs and workspace, or neither.
absl::Status WeightManager::Impl::Place(std::vector<Run>& runs) {
  GH_RETURN_IF_ERROR(memory.Allocate(runs));
  absl::Status reserved;
  {
    const std::lock_guard lock(mutex);
    reserved = workspace->Reserve(Need());
  }
  if (reserved.ok()) return reserved;
  memory.Free(runs);
  for (Run& run : runs) run.begin = nullptr;
  return reserved;
}

Room WeightManager::Impl::LookForRoom(std::span<const Run> runs) const {
  std::vector<std::shared_ptr<const ResidentAdapter>> evictable;
  uint64_t of_workspace = 0;
  {
    const std::lock_guard lock(mutex);
    of_workspace = workspace->BytesToReserve(Need());
    for (const Version& version : book.Evictable()) evictable.push_back(version->resident);
  }
  std::vector<std::span<const Run>> groups;
  for (const auto& adapter : evictable) groups.emplace_back(adapter->runs);
  return {.needed = memory.BytesToAllocate(runs) + of_workspace,
          .free = budget->free(),
          .evictable = memory.BytesToFree(groups),
          .kv_cache = budget->used(ByteBudget::Holder::kKvCache),
          .workspace = of_workspace};
}

uint64_t WeightManager::Impl::SharesOf(
    std::span<const std::shared_ptr<const ResidentAdapter>> adapters) const {
  uint64_t bytes = 0;
  for (const auto& adapter : adapters) bytes += memory.MappedShare(adapter->runs);
  return bytes;
}

absl::Status WeightManager::Impl::Refuse(const LoadJob& job, const Room& room) const {
  std::vector<std::shared_ptr<const ResidentAdapter>> pinned, read;
  {
    const std::lock_guard lock(mutex);
    pinned = book.Pinned();
    read = book.Read();
  }
  return NoRoom({.name = job.version->info.name,
                 .room = room,
                 .page_bytes = memory.page_bytes(),
                 .budget = budget->total(),
                 .pinned = SharesOf(pinned),
                 .read = SharesOf(read)});
}

}  // namespace guildhall
