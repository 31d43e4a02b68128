// What a limit on addresses says of itself.
#include "base/address_space.h"

#include <catch2/catch.hpp>
#include <vector>

namespace guildhall {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST_CASE("Needs that do not fit below the limit are named with their bytes") {
  const std::vector<AddressNeed> needs{{"the stacks of 24 threads", 192 * kMiB},
                                       {"the heap's arenas", 256 * kMiB}};
  CHECK(CheckAddressSpace({0, 10 * kMiB}, needs).ok());
  CHECK(CheckAddressSpace({458 * kMiB, 10 * kMiB}, needs).ok());
  const absl::Status refused = CheckAddressSpace({300 * kMiB, 10 * kMiB}, needs);
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(SaysAddressSpace(refused));
  CHECK_FALSE(SaysAddressSpace(absl::ResourceExhaustedError(refused.message())));
  CHECK(refused.message() ==
        "the address space of this process is limited to 300.0 MiB (ulimit -v), of which 10.0 MiB are taken, "
        "and"
        " the start needs 192.0 MiB for the stacks of 24 threads, 256.0 MiB for the heap's arenas: raise the "
        "limit"
        " by 158.0 MiB at least");
}

TEST_CASE("An error is followed by the limit where there is one") {
  CHECK(AddressSpaceNote({0, kMiB}) == "");
  CHECK(AddressSpaceNote({2 * kMiB, kMiB}) ==
        "; the address space of this process is limited to 2.0 MiB (ulimit -v), of which 1.0 MiB are taken");
  CHECK(ReadAddressSpace().used_bytes > kMiB);
}

}  // namespace
}  // namespace guildhall
