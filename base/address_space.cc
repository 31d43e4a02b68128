#include "base/address_space.h"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/cord.h"
#include "base/format_bytes.h"
#include "base/heap.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr char kSaysLimit[] = "guildhall/address-space";  // payload of errors whose text has it

}  // namespace

AddressSpace ReadAddressSpace() {
  AddressSpace space;
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    space.limit_bytes = limit.rlim_cur;
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  space.used_bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return space;
}

std::vector<AddressNeed> StartNeeds(uint64_t threads) {
  std::vector<AddressNeed> needs(2);
  needs[0].name = StrCat("the stacks of ", threads, " threads");
  needs[0].bytes = threads * ThreadStackBytes();
  needs[1].name = "the heap's arenas";
  needs[1].bytes = HeapAddressBytes();
  return needs;
}

absl::Status CheckAddressSpace(const AddressSpace& space, std::span<const AddressNeed> needs) {
  uint64_t needed = space.used_bytes;
  std::string list;
  for (const AddressNeed& need : needs) {
    needed += need.bytes;
    StrAppend(&list, list.empty() ? "" : ", ", FormatBytes(need.bytes), " for ", need.name);
  }
  if (space.limit_bytes == 0 || needed <= space.limit_bytes) return absl::OkStatus();
  absl::Status refused = absl::ResourceExhaustedError(
      StrCat("the address space of this process is limited to ", FormatBytes(space.limit_bytes),
             " (ulimit -v), of which ", FormatBytes(space.used_bytes), " are taken, and the start needs ",
             list, ": raise the limit by ", FormatBytes(needed - space.limit_bytes), " at least"));
  refused.SetPayload(kSaysLimit, absl::Cord());
  return refused;
}

std::string AddressSpaceNote(const AddressSpace& space) {
  if (space.limit_bytes == 0) return "";
  return StrCat("; the address space of this process is limited to ", FormatBytes(space.limit_bytes),
                " (ulimit -v), of which ", FormatBytes(space.used_bytes), " are taken");
}

bool SaysAddressSpace(const absl::Status& error) {
  return error.GetPayload(kSaysLimit).has_value();
}

}  // namespace guildhall
