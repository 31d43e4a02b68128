// How a load comes to its room: the arithmetic, and how long a KV cache is asked.
#include "weights/room.h"

#include <catch2/catch.hpp>

#include "weights/kv_wish.h"

namespace guildhall {
namespace {

TEST_CASE("Nothing is evicted and nobody asked where it does not help") {
  struct Case {
    uint64_t needed, free, evictable, kv_cache;
    RoomStep step;
    uint64_t missing;
  };
  for (const Case& one : {Case{0, 0, 0, 0, RoomStep::kPlace, 0}, Case{8, 8, 0, 0, RoomStep::kPlace, 0},
                          Case{8, 7, 1, 0, RoomStep::kEvict, 0}, Case{8, 0, 9, 5, RoomStep::kEvict, 0},
                          Case{8, 3, 4, 1, RoomStep::kAskKv, 1}, Case{8, 0, 0, 8, RoomStep::kAskKv, 8},
                          Case{8, 3, 4, 0, RoomStep::kRefuse, 1}, Case{8, 0, 3, 4, RoomStep::kRefuse, 5}}) {
    INFO(one.needed << " " << one.free << " " << one.evictable << " " << one.kv_cache);
    const Room room{one.needed, one.free, one.evictable, one.kv_cache, 0};
    CHECK(NextRoomStep(room) == one.step);
    CHECK(room.missing() == one.missing);
  }
}

TEST_CASE("What fits once requests have ended is waited for, and what the KV cache keeps is not asked for") {
  struct Case {
    uint64_t needed, free, evictable, kv_cache, kv_least, held;
    RoomStep step;
  };
  for (const Case& one :
       {Case{8, 0, 0, 8, 0, 0, RoomStep::kAskKv}, Case{8, 0, 0, 8, 1, 0, RoomStep::kRefuse},
        Case{8, 0, 0, 8, 1, 1, RoomStep::kAwaitRequests}, Case{8, 1, 2, 5, 2, 2, RoomStep::kAwaitRequests},
        Case{8, 1, 2, 5, 3, 2, RoomStep::kRefuse}, Case{8, 0, 0, 0, 0, 8, RoomStep::kAwaitRequests},
        Case{8, 0, 9, 0, 0, 8, RoomStep::kEvict}, Case{8, 8, 0, 0, 0, 8, RoomStep::kPlace},
        Case{8, 0, 0, 3, 4, 7, RoomStep::kRefuse}}) {
    INFO(one.needed << " " << one.free << " " << one.evictable << " " << one.kv_cache << " " << one.held);
    const Room room{one.needed, one.free, one.evictable, one.kv_cache, 0, one.kv_least, one.held};
    CHECK(NextRoomStep(room) == one.step);
  }
}

TEST_CASE("A wish is for no more than the KV cache can give") {
  ByteBudget budget(100);
  KvWish wish(budget, absl::Seconds(10));
  CHECK(wish.Ask(50, absl::UnixEpoch(), 20) == KvWish::Next::kLookAgain);
  CHECK(budget.wanted_of_kv() == 20);
  CHECK(wish.Ask(50, absl::UnixEpoch(), 20) == KvWish::Next::kWait);
  CHECK(wish.Ask(50, absl::UnixEpoch(), 0) == KvWish::Next::kLookAgain);
  CHECK(budget.wanted_of_kv() == 0);
  CHECK(wish.Ask(50, absl::UnixEpoch() + absl::Seconds(10), 0) == KvWish::Next::kGiveUp);
}

TEST_CASE("A refusal shows the arithmetic") {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  RoomRefusal refusal{.name = "a",
                      .room = {8 * kMiB, kMiB, 2 * kMiB, kMiB / 2, 0},
                      .page_bytes = 2 * kMiB,
                      .budget = 64 * kMiB,
                      .pinned = 3 * kMiB,
                      .read = 4 * kMiB};
  const absl::Status status = NoRoom(refusal);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(
      status.message() ==
      "adapter 'a' does not fit: it needs 8.0 MiB in pages of 2.0 MiB; of the budget of 64.0 MiB, 1.0 MiB are"
      " free, 2.0 MiB evictable, 3.0 MiB pinned, 4.0 MiB held by requests and 0.5 MiB taken by the KV cache:"
      " unload or unpin adapters, or raise the budget");
  refusal.room.workspace = kMiB;
  CHECK_THAT(std::string(NoRoom(refusal).message()),
             Catch::Contains("needs 7.0 MiB in pages of 2.0 MiB and 1.0 MiB of workspace for its steps; of"));
  const absl::Status later = NoRoomYet(refusal);
  CHECK(later.code() == absl::StatusCode::kUnavailable);
  CHECK_THAT(std::string(later.message()),
             Catch::StartsWith("adapter 'a' waits for memory: it needs 7.0 MiB") &&
                 Catch::EndsWith(": it fits once requests that run have ended"));
}

TEST_CASE("The KV cache is asked for what is missing, and waited for while it gives") {
  using Next = KvWish::Next;
  struct Case {
    int second;
    uint64_t missing;
    Next next;
    uint64_t wanted;  // of the KV cache, afterwards
  };
  ByteBudget budget(100);
  {
    KvWish wish(budget, absl::Seconds(10));
    for (const Case& one : {
             Case{0, 50, Next::kLookAgain, 50},
             Case{1, 50, Next::kWait, 50},
             Case{9, 50, Next::kWait, 50},
             Case{9, 40, Next::kLookAgain, 40},  // less is missing: its time begins anew
             Case{18, 40, Next::kWait, 40},
             Case{18, 60, Next::kLookAgain, 60},  // more is asked for, in the same time
             Case{19, 60, Next::kGiveUp, 60},
             Case{20, 39, Next::kLookAgain, 39},
         }) {
      INFO(one.second);
      CHECK(wish.Ask(one.missing, absl::UnixEpoch() + absl::Seconds(one.second)) == one.next);
      CHECK(budget.wanted_of_kv() == one.wanted);
    }
    CHECK(wish.until() == absl::UnixEpoch() + absl::Seconds(30));
  }
  CHECK(budget.wanted_of_kv() == 0);
  KvWish none(budget, absl::ZeroDuration());
  CHECK(none.Ask(5, absl::UnixEpoch()) == Next::kGiveUp);
  CHECK(budget.wanted_of_kv() == 0);
  KvWish endless(budget, absl::InfiniteDuration());
  CHECK(endless.Ask(5, absl::UnixEpoch()) == Next::kLookAgain);
  CHECK(endless.Ask(5, absl::UnixEpoch() + absl::Hours(1000000)) == Next::kWait);
}

TEST_CASE("Who wished is told when the KV cache gives, and only then") {
  ByteBudget budget(100);
  int told = 0;
  budget.OnKvGave([&] { ++told; });
  REQUIRE(budget.TryTake(ByteBudget::Holder::kKvCache, 50));
  REQUIRE(budget.TryTake(ByteBudget::Holder::kAdapters, 50));
  budget.Give(ByteBudget::Holder::kKvCache, 10);  // nobody wished
  CHECK(told == 0);
  budget.WantOfKv(20);
  budget.Give(ByteBudget::Holder::kAdapters, 10);
  budget.Give(ByteBudget::Holder::kKvCache, 0);
  CHECK(told == 0);
  budget.Give(ByteBudget::Holder::kKvCache, 10);
  CHECK(told == 1);
  budget.Give(ByteBudget::Holder::kKvCache, 20);
  CHECK(told == 2);
  budget.WantOfKv(0);
  budget.Give(ByteBudget::Holder::kKvCache, 5);
  CHECK(told == 2);
}

}  // namespace
}  // namespace guildhall
