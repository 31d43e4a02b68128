// What is in memory, what leaves it first, and what is said when nothing helps.
#include <catch2/catch.hpp>
#include <thread>

#include "absl/time/clock.h"
#include "tests/weights/manager_fixture.h"
#include "weights/weight_manager.h"

namespace guildhall {
namespace {

using absl::StatusCode;

AdapterManifest OneExpert(int layer) {
  return EsftManifest({{layer, 0}});
}

std::vector<std::string> Resident(ManagerFixture& f) {
  std::vector<std::string> names;
  for (const AdapterInfo& info : f.manager->List()) {
    if (info.tier == AdapterTier::kResident) names.push_back(info.name);
  }
  return names;
}

using Names = std::vector<std::string>;

// Of the adapter alone in memory: sizes are measured, not assumed.
uint64_t BytesOf(const AdapterManifest& manifest) {
  ManagerFixture f;
  return f.Load("x", manifest)->mapped_bytes;
}

TEST_CASE("The least recently used adapter leaves first, and comes back when it is asked for") {
  // The experts of layers 1 and 2 lie in ranges of their own: they share no border pages.
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one);
  REQUIRE(f.Load("a", OneExpert(1), 1).ok());
  REQUIRE(f.Load("b", OneExpert(2), 2).ok());
  CHECK(Resident(f) == Names{"a", "b"});
  const uint64_t id = f.Acquire("a").value()->id;  // now b is the older one
  f.manager->AwaitFreed();
  REQUIRE(f.Load("c", OneExpert(2), 3).ok());
  CHECK(Resident(f) == Names{"a", "c"});
  CHECK(f.manager->Info("b")->state == AdapterState::kReady);
  CHECK(f.manager->Info("b")->mapped_bytes == 0);

  const auto b = f.Acquire("b").value();
  CHECK(HoldsExpert(f.spec, b->members[0].weights->layers[2].replaced[0], 2, 2, 0));
  CHECK(b->members[0].version == 2);
  CHECK(Resident(f) == Names{"b", "c"});
  const auto a = f.Acquire("a").value();
  CHECK(HoldsExpert(f.spec, a->members[0].weights->layers[1].replaced[0], 1, 1, 0));
  CHECK(a->id == id);  // so that what was computed with it before the eviction is its own still
  CHECK(Resident(f) == Names{"a", "b"});
}

TEST_CASE("Only as many leave as are needed, and none where leaving would not help") {
  const uint64_t one = BytesOf(OneExpert(1)), both = BytesOf(EsftManifest({{1, 0}, {2, 0}}));
  REQUIRE(both == 2 * one);
  ManagerFixture f(both + BytesOf(EsftManifest({{1, -1}})));
  REQUIRE(f.Load("a", OneExpert(1), 1).ok());
  REQUIRE(f.Load("b", OneExpert(2), 2).ok());
  REQUIRE(f.Load("c", EsftManifest({{1, -1}}), 3).ok());
  const Names before = Resident(f);
  REQUIRE(before.size() == 3);
  AdapterManifest large = EsftManifest({{1, 0}, {1, 1}, {1, 2}, {1, 3}, {2, 0}, {2, 1}, {2, 2}, {2, 3}});
  const auto refused = f.Load("large", large);
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(Resident(f) == before);
  CHECK(f.manager->Info("large").status().code() == StatusCode::kNotFound);
  REQUIRE(f.Load("d", OneExpert(2), 4).ok());
  CHECK(Resident(f) == Names{"b", "c", "d"});
}

TEST_CASE("Pinned adapters and those that are read stay, the refusal shows the arithmetic") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one);
  REQUIRE(f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1)), .pin = true}).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  auto held = f.Acquire("b").value();
  const auto refused = f.Load("c", EsftManifest({{2, -1}}));
  REQUIRE(refused.status().code() == StatusCode::kFailedPrecondition);
  const uint64_t needed = BytesOf(EsftManifest({{2, -1}}));
  char expected[512];
  const auto mib = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::snprintf(
      expected, sizeof(expected),
      "adapter 'c' does not fit: it needs %.1f MiB in pages of 0.0 MiB; of the budget of %.1f MiB, 0.0"
      " MiB are free, 0.0 MiB evictable, %.1f MiB pinned, %.1f MiB held by requests and 0.0 MiB taken by"
      " the KV cache: unload or unpin adapters, or raise the budget",
      mib(needed), mib(2 * one), mib(one), mib(one));
  CHECK(refused.status().message() == expected);
  held.reset();
  CHECK(f.Load("c", OneExpert(2)).ok());
  CHECK(Resident(f) == Names{"a", "c"});
  REQUIRE(f.manager->Pin("c", true).ok());
  CHECK_FALSE(f.Load("d", OneExpert(1)).ok());
  REQUIRE(f.manager->Pin("a", false).ok());
  CHECK(f.Load("d", OneExpert(1)).ok());
  CHECK(Resident(f) == Names{"c", "d"});
}

TEST_CASE("What replaces a pinned adapter is pinned") {
  ManagerFixture f(2 * BytesOf(OneExpert(1)));
  REQUIRE(f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1)), .pin = true}).ok());
  const auto replaced =
      f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1)), .replace = true});
  REQUIRE(replaced.ok());
  CHECK(replaced->pinned);
}

TEST_CASE("Pinning brings back what is on disk, or says why it cannot") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(one);
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  REQUIRE(Resident(f) == Names{"b"});
  REQUIRE(f.manager->Pin("a", true).ok());
  CHECK(Resident(f) == Names{"a"});
  CHECK(f.manager->Info("a")->pinned);
  CHECK(f.manager->Pin("b", true).code() == StatusCode::kFailedPrecondition);
  CHECK_FALSE(f.manager->Info("b")->pinned);
  CHECK(f.manager->Pin("c", true).code() == StatusCode::kNotFound);
}

TEST_CASE("A combination loads all its adapters, and those that it has cannot leave meanwhile") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one);
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  REQUIRE(f.Load("c", EsftManifest({{2, 1}})).ok());
  const std::vector<AdapterUse> uses{{"a"}, {"b"}};
  const auto set = f.manager->Acquire(uses, absl::InfiniteFuture());
  REQUIRE(set.ok());
  CHECK(Resident(f) == Names{"a", "b"});
  const std::vector<AdapterUse> all{{"a"}, {"b"}, {"c"}};
  CHECK(f.manager->Acquire(all, absl::InfiniteFuture()).status().code() == StatusCode::kFailedPrecondition);
  CHECK(f.manager->Info("a")->readers == 1);
}

TEST_CASE("Files that changed since their load are not served under the old version") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(one);
  const auto world = std::make_shared<TinyWorld>();
  REQUIRE(f.Load("a", OneExpert(1), 1, world).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  world->fingerprint = "2";
  const auto refused = f.Acquire("a");
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(refused.status().message() ==
        "adapter 'a': files changed on disk since version 1 was loaded; load it again to serve the new ones");
  CHECK(f.manager->Info("a")->readers == 0);
  REQUIRE(
      f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1), 5, world), .replace = true}).ok());
  CHECK(HoldsExpert(f.spec, f.Acquire("a").value()->members[0].weights->layers[1].replaced[0], 5, 1, 0));
}

TEST_CASE(
    "Requests for one adapter on disk share one load, and those of resident adapters do not wait for it") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one);
  const auto world = std::make_shared<TinyWorld>();
  REQUIRE(f.Load("a", OneExpert(1), 1, world).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  REQUIRE(f.Load("c", EsftManifest({{1, 1}})).ok());
  REQUIRE(f.manager->Info("a")->tier == AdapterTier::kDisk);
  std::atomic<bool> go{false};
  world->on_read = [&](int64_t) { Await([&] { return go.load(); }); };
  world->opens = 0;
  std::vector<std::thread> threads;
  std::atomic<int> got{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto set = f.Acquire("a");
      if (set.ok()) ++got;
    });
  }
  Await([&] { return f.manager->Info("a")->readers >= 4; });
  CHECK(f.Acquire("c").ok());
  const AdapterUse use{"a", 1.0f};
  const auto late = f.manager->Acquire({&use, 1}, absl::Now() + absl::Milliseconds(5));
  CHECK(late.status().code() == StatusCode::kDeadlineExceeded);
  go = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(got == 4);
  CHECK(world->opens == 1);
  CHECK(f.manager->Info("a")->readers == 0);
}

// Whether a KV cache that keeps its memory ends a load, and when, is the test's.
WeightManagerOptions Patience(absl::Duration patience) {
  WeightManagerOptions options;
  options.kv_patience = patience;
  return options;
}

TEST_CASE("A load asks the KV cache for what eviction cannot give, and withdraws the wish") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one, Patience(absl::InfiniteDuration()));
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, one + 4096));
  std::atomic<uint64_t> wanted{0};
  std::thread kv([&] {
    Await([&] { return f.budget->wanted_of_kv() != 0; });
    wanted = f.budget->wanted_of_kv();
    f.budget->Give(ByteBudget::Holder::kKvCache, 4096);
  });
  CHECK(f.Load("a", OneExpert(1)).ok());
  kv.join();
  CHECK(wanted == 4096);
  CHECK(f.budget->wanted_of_kv() == 0);
}

TEST_CASE("A KV cache that gives nothing back is waited for, and the load is told to come again") {
  const uint64_t one = BytesOf(OneExpert(1));
  WeightManagerOptions options = Patience(absl::Seconds(30));
  options.room_wait = absl::Milliseconds(1);
  ManagerFixture f(2 * one, options);
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, one));
  REQUIRE(f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1)), .pin = true}).ok());
  std::atomic<int> wishes{0};
  f.budget->OnWantOfKv([&] { ++wishes; });
  CHECK(f.Load("b", OneExpert(2)).status().code() == StatusCode::kUnavailable);
  CHECK(wishes == 1);
  CHECK(f.budget->wanted_of_kv() == 0);
  CHECK(f.manager->List().size() == 1);
}

TEST_CASE("A KV cache that gives back slowly, but does, is waited for") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(one, Patience(absl::InfiniteDuration()));
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, one));
  std::thread kv([&] {
    constexpr uint64_t kPieces = 8;  // each once the load has counted the one before
    for (uint64_t i = 0; i < kPieces; ++i) {
      Await([&] { return f.budget->wanted_of_kv() == (kPieces - i) * (one / kPieces); });
      f.budget->Give(ByteBudget::Holder::kKvCache, one / kPieces);
    }
  });
  CHECK(f.Load("a", OneExpert(1)).status() == absl::OkStatus());
  kv.join();
  CHECK(f.budget->used(ByteBudget::Holder::kKvCache) == 0);
  CHECK(f.budget->wanted_of_kv() == 0);
}

TEST_CASE("A load that fits is not refused for what the KV cache gives back while it looks") {
  const uint64_t one = BytesOf(OneExpert(1));
  for (int round = 0; round < 1000; ++round) {
    ManagerFixture f(one, Patience(absl::InfiniteDuration()));
    REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, one));
    std::thread kv([&] {
      Await([&] { return f.budget->wanted_of_kv() > 0; });
      for (uint64_t given = 0; given < one; given += 8) {
        f.budget->Give(ByteBudget::Holder::kKvCache, std::min<uint64_t>(8, one - given));
      }
    });
    CHECK(f.Load("a", OneExpert(1)).status() == absl::OkStatus());
    kv.join();
  }
}

TEST_CASE("A load that waits for the KV cache can be cancelled, and goes on when a reader or a pin leaves") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one, Patience(absl::InfiniteDuration()));
  REQUIRE(f.manager->Load({.name = "a", .open = OpenTiny(f.spec, OneExpert(1)), .pin = true}).ok());
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, one));
  std::stop_source source;
  absl::Status loaded;
  const auto load = [&] {
    loaded =
        f.manager->Load({.name = "b", .open = OpenTiny(f.spec, OneExpert(2)), .cancel = source.get_token()})
            .status();
  };
  const auto waits = [&] { return f.budget->wanted_of_kv() == one; };
  std::thread cancelled(load);
  Await(waits);
  source.request_stop();
  cancelled.join();
  CHECK(loaded.code() == StatusCode::kCancelled);
  CHECK(f.budget->wanted_of_kv() == 0);
  source = {};
  auto held = f.Acquire("a").value();
  std::thread after_pin(load);
  Await(waits);
  REQUIRE(f.manager->Pin("a", false).ok());
  held.reset();
  after_pin.join();
  CHECK(loaded.ok());
  CHECK(Resident(f) == Names{"b"});
}

TEST_CASE(
    "Who looks at an adapter that leaves does not make it stay: loads fit, and unloads say what they freed") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(one);
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  std::atomic<bool> done{false};
  std::vector<std::thread> lookers;
  for (const char* name : {"a", "b", "c"}) {
    lookers.emplace_back([&, name] {
      while (!done) (void)f.manager->Info(name);
    });
  }
  int refused = 0, without = 0;
  for (int i = 0; i < 500; ++i) {
    refused += f.Acquire(i % 2 == 0 ? "a" : "b").ok() ? 0 : 1;
    refused += f.Load("c", EsftManifest({{2, 1}})).ok() ? 0 : 1;
    const auto unloaded = f.manager->Unload("c", std::nullopt, absl::InfiniteDuration());
    without += unloaded.ok() && unloaded->freed_bytes == one ? 0 : 1;
  }
  done = true;
  for (std::thread& looker : lookers) looker.join();
  CHECK(refused == 0);
  CHECK(without == 0);
}

TEST_CASE("What the KV cache keeps for itself is counted out: a load that would need it is refused at once") {
  const uint64_t one = BytesOf(OneExpert(1));
  ManagerFixture f(2 * one, Patience(absl::InfiniteDuration()));
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, 2 * one));
  f.budget->KeepForKv(one + 1);
  CHECK(f.Load("a", OneExpert(1)).status().code() == StatusCode::kFailedPrecondition);
}

TEST_CASE("What could never fit is refused at once, and the KV cache is not asked") {
  ManagerFixture f(4096, Patience(absl::InfiniteDuration()));  // would wait for ever
  REQUIRE(f.budget->TryTake(ByteBudget::Holder::kKvCache, 1));
  std::atomic<int> wishes{0};
  f.budget->OnWantOfKv([&] { ++wishes; });
  CHECK(f.Load("a", EsftManifest({{1, 0}, {1, 1}, {1, 2}})).status().code() ==
        StatusCode::kFailedPrecondition);
  CHECK(wishes == 0);
}

}  // namespace
}  // namespace guildhall
