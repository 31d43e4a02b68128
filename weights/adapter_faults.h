// Requests that end in numbers that are not finite, by what they were served with.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "weights/adapter_info.h"
#include "weights/adapter_set.h"

namespace guildhall {

// Counts by combination of versions and factors: an adapter is not blamed for what another one does beside
// it. What is only suspected counts once it is known that the base alone gives good numbers. Thread-safe;
// never throws: without memory a fault is not counted.
class AdapterFaults {
 public:
  // Versions with the bits of their factors, in the set's order.
  using Key = std::vector<std::pair<uint64_t, uint32_t>>;

  // Faults in a row after which a combination is shut off; 0: none is.
  explicit AdapterFaults(int64_t shut_off_after = 0) : shut_off_after_(shut_off_after) {}

  // A request ended so; `told` is its error.
  void Suspect(const AdapterSet& set, std::string_view told);
  // The base alone gives good numbers: the fault lies with the adapters.
  void Confirm();
  // It does not: it lies with the base.
  void Dismiss();
  // A request ended well.
  void Succeeded(const AdapterSet& set);

  // FAILED_PRECONDITION, with the reason and the cure, for a combination that is shut off. `versions`: those
  // that serve under the names of `uses`.
  absl::Status Check(std::span<const AdapterUse> uses, std::span<const uint64_t> versions) const;
  // Whether anything was ever suspected: nothing is to be asked before.
  bool any() const { return any_.load(std::memory_order_relaxed); }
  // Writes what is known of info.version.
  void Tell(AdapterInfo& info) const;

 private:
  struct Entry {
    uint64_t suspected = 0, faults = 0, in_a_row = 0;
    uint64_t last = 0;  // the order of last faults
    std::string names, told;
  };

  bool ShutOff(const Entry& entry) const {
    return shut_off_after_ > 0 && entry.in_a_row >= static_cast<uint64_t>(shut_off_after_);
  }
  void DropOldest();

  const int64_t shut_off_after_;
  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::map<Key, Entry> entries_;  // of combinations with faults; at most kMostEntries
  uint64_t next_ = 1;
};

}  // namespace guildhall
