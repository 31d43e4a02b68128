// How the weight manager's load thread gets room.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/status.h"
#include "base/str_cat.h"
#include "weights/kv_wish.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {
namespace {

constexpr int kMostDoublings = 10;  // of a turn's length

bool Contains(std::span<const std::shared_ptr<AdapterVersion>> versions,
              const std::shared_ptr<AdapterVersion>& version) {
  return std::find(versions.begin(), versions.end(), version) != versions.end();
}

}  // namespace

// Gives the runs their places. Evicts, asks the KV cache and awaits requests where that helps, and changes
// nothing where it cannot help. False: there was no room in this turn. A turn that is not the first begins
// with a rest, in which others get on that need memory as well, and is longer than the one before.
absl::StatusOr<bool> WeightManager::Impl::MakeRoom(LoadJob& job, std::vector<Run>& runs, const Coming& mine) {
  const absl::Time rest_end = job.turns == 0 ? absl::InfinitePast() : absl::Now() + options.kv_patience;
  std::unique_lock wishes(kv_wishes, std::defer_lock);
  KvWish wish(*budget, options.kv_patience * (1 << std::min(job.turns, kMostDoublings)));
  std::optional<Room> refused;
  const absl::Cleanup end_turn = [this] { SetYielding({}); };
  for (;;) {
    AwaitFreed();  // or what is on its way out would be neither free nor evictable
    uint64_t seen = 0;
    std::vector<Version> kept;
    {
      const std::lock_guard lock(mutex);
      GH_RETURN_IF_ERROR(CheckCancelled(job));
      coming = mine;
      kept = KeptFor(job);
      seen = changes;
    }
    const Room room = LookForRoom(runs, kept);
    const RoomStep step = NextRoomStep(room);
    if (step == RoomStep::kPlace) {
      const absl::Status allocated = Place(runs);
      // Either the system refused, or the KV cache was faster.
      if (!allocated.ok() && room.needed > budget->free()) continue;
      GH_RETURN_IF_ERROR(allocated);
      const std::lock_guard lock(mutex);
      job.obstacle.clear();
      return true;
    }
    if (step == RoomStep::kEvict) {
      const std::lock_guard lock(mutex);
      book.EvictOldest(kept);
      continue;
    }
    if (step == RoomStep::kRefuse) {
      // Its parts are counted one after the other, and memory may have moved between two of them: it is
      // refused for what two looks agree on.
      if (std::exchange(refused, room) != room) continue;
      GH_RETURN_IF_ERROR(Refuse(job, room, kept));
      continue;
    }
    GH_RETURN_IF_ERROR(TellObstacle(job, room));
    if (absl::Now() < rest_end) {
      AwaitChange(job, seen, rest_end);
      continue;
    }
    if (!wishes.owns_lock()) wishes.lock();
    if (step == RoomStep::kAwaitRequests) SetYielding(ToYield(room, kept));
    const KvWish::Next next = wish.Ask(room.missing(), absl::Now(), room.of_kv());
    if (next == KvWish::Next::kGiveUp) return false;
    if (next == KvWish::Next::kWait) AwaitChange(job, seen, wish.until());
  }
}

// Under the lock.
absl::Status WeightManager::Impl::CheckCancelled(const LoadJob& job) const {
  if (!job.cancel) return absl::OkStatus();
  return absl::CancelledError(StrCat("adapter '", job.version->info.name, "': the load was cancelled"));
}

// Under the lock. What stays, because the reader that came first for the job's version wants it as well.
std::vector<WeightManager::Impl::Version> WeightManager::Impl::KeptFor(const LoadJob& job) const {
  std::vector<Version> kept;
  const auto reader = book.FirstWaiting(job);
  if (reader == nullptr) return kept;
  for (const Version& version : reader->versions) {
    if (version != job.version && version->resident != nullptr) kept.push_back(version);
  }
  return kept;
}

// The job does not wait for room for longer than whoever asked for it, an administrator or requests.
absl::Status WeightManager::Impl::TellObstacle(LoadJob& job, const Room& room) {
  const absl::Status refused = NoRoomYet(Refusal(job, room));
  const absl::Time now = absl::Now();
  const std::lock_guard lock(mutex);
  if (job.room_deadline == absl::InfiniteFuture() && (job.first || job.pin)) {
    job.room_deadline = now + options.room_wait;
  }
  if (now >= job.room_deadline) return refused;
  if (!job.first && !job.pin && book.FirstWaiting(job) == nullptr) job.cancel = true;
  GH_RETURN_IF_ERROR(CheckCancelled(job));
  job.obstacle = std::string(refused.message());
  return absl::OkStatus();
}

void WeightManager::Impl::AwaitChange(const LoadJob& job, uint64_t seen, absl::Time end) {
  Lock lock(mutex);
  coming = {};  // the workspace of those that serve does not grow for it meanwhile
  WaitUntil(lock, std::min(end, job.room_deadline), [&] { return changes != seen; });
}

// Those among the adapters that requests hold, least recently used first, that have to leave.
std::vector<WeightManager::Impl::Version> WeightManager::Impl::ToYield(const Room& room,
                                                                       std::span<const Version> kept) const {
  std::vector<Version> held, chosen;
  std::vector<std::shared_ptr<const ResidentAdapter>> leaving;  // while their pages are counted
  {
    const std::lock_guard lock(mutex);
    for (const Version& version : book.Evictable(kept)) leaving.push_back(version->resident);
    held = book.Held();
  }
  for (const Version& version : held) {
    if (Contains(kept, version)) continue;
    std::vector<std::span<const Run>> groups;
    for (const auto& adapter : leaving) groups.emplace_back(adapter->runs);
    if (memory.BytesToFree(groups) + room.free + room.of_kv() >= room.needed) break;
    const std::lock_guard lock(mutex);
    if (version->resident == nullptr) continue;
    leaving.push_back(version->resident);
    chosen.push_back(version);
  }
  return chosen;
}

void WeightManager::Impl::SetYielding(std::span<const Version> versions) {
  const std::lock_guard lock(mutex);
  if (book.SetYielding(versions)) NotifyChanged();
}

// Runs and workspace, or neither.
absl::Status WeightManager::Impl::Place(std::vector<Run>& runs) {
  GH_RETURN_IF_ERROR(memory.Allocate(runs));
  absl::Cleanup undo = [&] {
    memory.Free(runs);
    for (Run& run : runs) run.begin = nullptr;
  };
  const std::lock_guard lock(mutex);
  GH_RETURN_IF_ERROR(workspace->Reserve(Need()));
  std::move(undo).Cancel();
  return absl::OkStatus();
}

Room WeightManager::Impl::LookForRoom(std::span<const Run> runs, std::span<const Version> kept) const {
  std::vector<std::shared_ptr<const ResidentAdapter>> evictable, staying;
  bool any_held = false;
  uint64_t of_workspace = 0;
  {
    const std::lock_guard lock(mutex);
    of_workspace = workspace->BytesToReserve(Need());
    for (const Version& version : book.Evictable(kept)) evictable.push_back(version->resident);
    for (const Version& version : book.Held()) any_held |= !Contains(kept, version);
    staying = book.Pinned();
    for (const Version& version : kept) {
      if (version->resident != nullptr && !version->info.pinned) staying.push_back(version->resident);
    }
  }
  std::vector<std::span<const Run>> groups;
  for (const auto& adapter : evictable) groups.emplace_back(adapter->runs);
  Room room{.needed = memory.BytesToAllocate(runs) + of_workspace,
            .free = budget->free(),
            .evictable = memory.BytesToFree(groups),
            .kv_cache = budget->used(ByteBudget::Holder::kKvCache),
            .workspace = of_workspace,
            .kv_least = budget->kept_by_kv()};
  if (!any_held) return room;
  const uint64_t now = room.free + room.evictable + room.of_kv();
  const uint64_t never = SharesOf(staying) + room.kv_least;
  const uint64_t at_most = budget->total() > never ? budget->total() - never : 0;
  room.held = at_most > now ? at_most - now : 0;
  return room;
}

uint64_t WeightManager::Impl::SharesOf(
    std::span<const std::shared_ptr<const ResidentAdapter>> adapters) const {
  uint64_t bytes = 0;
  for (const auto& adapter : adapters) bytes += memory.MappedShare(adapter->runs);
  return bytes;
}

RoomRefusal WeightManager::Impl::Refusal(const LoadJob& job, const Room& room) const {
  std::vector<std::shared_ptr<const ResidentAdapter>> pinned, read;
  {
    const std::lock_guard lock(mutex);
    pinned = book.Pinned();
    read = book.Read();
  }
  return {.name = job.version->info.name,
          .room = room,
          .page_bytes = memory.page_bytes(),
          .budget = budget->total(),
          .pinned = SharesOf(pinned),
          .read = SharesOf(read)};
}

// Ends the job; or only the wait of one reader, if it is what that one wants beside that does not fit.
absl::Status WeightManager::Impl::Refuse(const LoadJob& job, const Room& room,
                                         std::span<const Version> kept) {
  const absl::Status refused = NoRoom(Refusal(job, room));
  if (kept.empty()) return refused;
  const std::lock_guard lock(mutex);
  // Another reader may have come to be the first meanwhile, and want less: the next look tells.
  if (!std::ranges::equal(KeptFor(job), kept)) return absl::OkStatus();
  if (const auto reader = book.FirstWaiting(job); reader != nullptr) {
    book.EndWait(*reader, refused);
    NotifyChanged();
  }
  return absl::OkStatus();
}

}  // namespace guildhall
