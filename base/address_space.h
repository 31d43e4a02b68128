// What `ulimit -v` leaves.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace guildhall {

struct AddressSpace {
  uint64_t limit_bytes = 0;  // 0: none is set
  uint64_t used_bytes = 0;
};
AddressSpace ReadAddressSpace();

struct AddressNeed {
  std::string name;  // "the stacks of 24 threads"
  uint64_t bytes = 0;
};
// Of a process before it has its threads: their stacks, and the arenas of a bound heap.
std::vector<AddressNeed> StartNeeds(uint64_t threads);
// RESOURCE_EXHAUSTED with all names and bytes where the needs do not fit below the limit.
absl::Status CheckAddressSpace(const AddressSpace& space, std::span<const AddressNeed> needs);

// What follows an error that may come from the limit: "; the address space is limited to ..." or nothing.
std::string AddressSpaceNote(const AddressSpace& space);
// Whether the error is CheckAddressSpace's, which says it already.
bool SaysAddressSpace(const absl::Status& error);

}  // namespace guildhall
