// The one road of weights into device memory: items are made on the host, by a few threads, and brought home.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "absl/status/status.h"
#include "kernels/device_memory.h"
#include "weights/packed_item.h"

namespace guildhall {

struct PackControl {
  int threads = 1;                       // at most one for each item is started
  bool low_priority = false;             // they give way to steps; the caller then only waits
  std::function<bool()> cancelled = {};  // may be empty; called under a lock
  // May be empty; packed bytes, from 0 on; called under a lock.
  std::function<void(uint64_t done, uint64_t total)> progress = {};
};

// Does `work` once for each item. The first error wins and stops the rest, an exception is rethrown here;
// CANCELLED.
using PackWork = std::function<absl::Status(const PackedItem& item, PackScratch& scratch)>;
absl::Status ForEachItem(std::span<const PackedItem> items, const PackControl& control, const PackWork& work);

// Fills each item in a host twin and uploads it to runs[item.run] + item.offset. Errors as ForEachItem, and
// those of `memory` with the item's name.
absl::Status PackItems(std::span<const PackedItem> items, std::span<std::byte* const> runs,
                       DeviceMemory& memory, const PackControl& control);

}  // namespace guildhall
