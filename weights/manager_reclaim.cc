// What the weight manager's reclaim thread does, and who waits for it.
#include <algorithm>
#include <new>

#include "absl/time/clock.h"
#include "weights/weight_manager_impl.h"

namespace guildhall {

void WeightManager::Impl::Reclaim(ReclaimItem* item) {
  if (auto* reading = dynamic_cast<Reading*>(item)) {
    ReclaimReading(std::unique_ptr<Reading>(reading));
  } else {
    ReclaimResident(std::unique_ptr<ResidentAdapter>(static_cast<ResidentAdapter*>(item)));
  }
}

void WeightManager::Impl::ReclaimReading(std::unique_ptr<Reading> reading) {
  {
    const std::lock_guard lock(mutex);
    book.DropReaders(reading->versions, absl::Now());
    NotifyChanged();
  }
  // With it goes, perhaps, the last reference to versions that have left memory, which come here next.
  reading = nullptr;
}

void WeightManager::Impl::ReclaimResident(std::unique_ptr<ResidentAdapter> resident) {
  {
    const std::lock_guard lock(mutex);
    slots.Release(resident->weights);
    // Without memory, or while a set lives that was refused its workspace, the tables that there are serve
    // on: nobody who is served reads the slots that are empty now.
    try {
      (void)PublishTables();
    } catch (const std::bad_alloc&) {
    }
  }
  const uint64_t bytes = memory.Free(resident->runs);
  const std::lock_guard lock(mutex);
  book.SetFreed(*resident->freed, bytes);
  NotifyChanged();
}

void WeightManager::Impl::AwaitFreed() {
  reclaimer.AwaitDropped();
  Lock lock(mutex);
  // Only those are awaited that have left by now, or this might not end.
  const auto left = book.leaving();
  changed.wait(lock, [&] {
    return std::all_of(left.begin(), left.end(), [](const auto& freed) { return freed->done; });
  });
}

}  // namespace guildhall
