// Bytes are counted in, refused over the limit, and counted out whatever becomes of their owner.
#include "base/memory_account.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

namespace guildhall {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

TEST_CASE("A charge holds what it took, and gives it back at its end") {
  MemoryAccount account(10 * kMiB);
  {
    MemoryCharge one(account);
    CHECK(one.Add(4 * kMiB).ok());
    CHECK(one.Add(2 * kMiB).ok());
    CHECK(account.used() == 6 * kMiB);
    one.Remove(kMiB);
    CHECK(account.used() == 5 * kMiB);
    const MemoryCharge moved(std::move(one));
    CHECK(moved.bytes() == 5 * kMiB);
    CHECK(account.used() == 5 * kMiB);
  }
  CHECK(account.used() == 0);
}

TEST_CASE("What is over the limit is refused with the numbers, and what was taken stays") {
  MemoryAccount account(10 * kMiB);
  MemoryCharge one(account), two(account);
  REQUIRE(one.Add(7 * kMiB).ok());
  const absl::Status refused = two.Add(4 * kMiB);
  CHECK(refused.code() == absl::StatusCode::kResourceExhausted);
  CHECK(
      refused.message() ==
      "the memory for requests is full: this one needs 4.0 MiB more, 3.0 MiB of 10.0 MiB are free; try again"
      " later");
  CHECK(two.bytes() == 0);
  CHECK_FALSE(two.Add(~uint64_t{0}).ok());
  CHECK(two.Add(3 * kMiB).ok());
  CHECK(account.used() == account.limit());
}

TEST_CASE("Many threads never take more than there is, and nothing is lost") {
  MemoryAccount account(100);
  std::atomic<bool> within = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        MemoryCharge charge(account);
        for (int k = 0; k < 4; ++k) (void)charge.Add(20);
        if (account.used() > 100) within = false;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(account.used() == 0);
  CHECK(within);
}

}  // namespace
}  // namespace guildhall
