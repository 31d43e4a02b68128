// A budget that holds few adapters at once: loads queue for memory that running requests hold.
#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
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

uint64_t OneBytes() {
  ManagerFixture f;
  return f.Load("x", OneExpert(1))->mapped_bytes;
}

WeightManagerOptions Waits(absl::Duration patience, absl::Duration room_wait) {
  WeightManagerOptions options;
  options.kv_patience = patience;
  options.room_wait = room_wait;
  return options;
}

absl::StatusOr<std::shared_ptr<const AdapterSet>> Acquire(ManagerFixture& f,
                                                          const std::vector<std::string>& names,
                                                          absl::Duration wait) {
  std::vector<AdapterUse> uses;
  for (const std::string& name : names) uses.push_back({name});
  return f.manager->Acquire(uses, absl::Now() + wait);
}

TEST_CASE("A request whose adapter fits once another request ends waits for that") {
  ManagerFixture f(OneBytes());
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  auto held = f.Acquire("b").value();
  const absl::Status late = Acquire(f, {"a"}, absl::Milliseconds(20)).status();
  CHECK(late.code() == StatusCode::kDeadlineExceeded);
  CHECK_THAT(std::string(late.message()), Catch::Contains("adapter 'a' waits for memory: it needs") &&
                                              Catch::Contains("held by requests") &&
                                              Catch::Contains("it fits once requests that run have ended"));
  std::atomic<bool> got{false};
  std::thread waiting([&] { got = f.Acquire("a").ok(); });
  Await([&] { return f.manager->Info("a")->readers == 1; });
  CHECK_FALSE(got);
  held.reset();
  waiting.join();
  CHECK(got);
}

TEST_CASE("An administrator's load waits for room as long as it is told, and is refused at once for good") {
  const uint64_t one = OneBytes();
  ManagerFixture f(2 * one, Waits(absl::Milliseconds(1), absl::Milliseconds(50)));
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  auto a = f.Acquire("a").value(), b = f.Acquire("b").value();
  const absl::Time begin = absl::Now();
  const absl::Status refused = f.Load("c", EsftManifest({{1, 1}})).status();
  CHECK(refused.code() == StatusCode::kUnavailable);
  CHECK(absl::Now() - begin >= absl::Milliseconds(50));
  CHECK_THAT(std::string(refused.message()), Catch::Contains("adapter 'c' waits for memory"));
  CHECK(f.manager->Info("c").status().code() == StatusCode::kNotFound);
  // All of the budget, but one of the two is pinned now.
  REQUIRE(f.manager->Pin("a", true).ok());
  const absl::Status never = f.Load("d", EsftManifest({{1, 1}, {1, 2}, {2, 1}, {2, 2}})).status();
  CHECK(never.code() == StatusCode::kFailedPrecondition);
  std::atomic<bool> loaded{false};
  std::thread load([&] {
    while (!f.Load("c", EsftManifest({{2, 1}})).ok()) {
    }
    loaded = true;
  });
  b.reset();
  load.join();
  CHECK(loaded);
}

TEST_CASE("New requests for what has to leave stand in line behind the load that came first") {
  ManagerFixture f(OneBytes(), Waits(absl::InfiniteDuration(), absl::InfiniteDuration()));
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  auto held = f.Acquire("b").value();
  std::vector<std::string> order;
  std::mutex mutex;
  const auto ask = [&](const std::string& name) {
    const auto set = f.Acquire(name);
    const std::lock_guard lock(mutex);
    order.push_back(set.ok() ? name : "refused");
  };
  std::thread first([&] { ask("a"); });
  Await([&] { return f.manager->Info("a")->readers == 1; });
  // Once b yields, nobody gets it though it is in memory.
  Await([&] { return absl::IsDeadlineExceeded(Acquire(f, {"b"}, absl::Milliseconds(1)).status()); });
  std::thread second([&] { ask("b"); });
  held.reset();
  first.join();
  second.join();
  CHECK(order == std::vector<std::string>{"a", "b"});
}

TEST_CASE("A wait for memory ends soon after its request was cancelled") {
  ManagerFixture f(OneBytes());
  REQUIRE(f.Load("a", OneExpert(1)).ok());
  REQUIRE(f.Load("b", OneExpert(2)).ok());
  auto held = f.Acquire("b").value();
  for (const char* name : {"a", "b"}) {  // b yields to the load of a
    std::atomic<bool> cancelled{false};
    absl::Status status;
    absl::Time end;
    const AdapterUse use{name, 1.0f};
    std::thread first([&] { (void)Acquire(f, {"a"}, absl::Milliseconds(300)); });
    Await([&] { return f.manager->Info("a")->readers > 0; });
    if (*name == 'b') {
      Await([&] { return absl::IsDeadlineExceeded(Acquire(f, {"b"}, absl::Milliseconds(1)).status()); });
    }
    std::thread waiting([&] {
      status =
          f.manager->Acquire({&use, 1}, {absl::InfiniteFuture(), [&] { return cancelled.load(); }}).status();
      end = absl::Now();
    });
    if (*name == 'a') Await([&] { return f.manager->Info("a")->readers == 2; });
    const absl::Time begin = absl::Now();
    cancelled = true;
    waiting.join();
    first.join();
    if (*name == 'b' && status.ok()) continue;  // the other one had left by then: b was free
    CHECK(status.code() == StatusCode::kCancelled);
    CHECK(end - begin < absl::Milliseconds(500));
  }
  Await([&] { return f.manager->Info("a")->readers == 0; });
}

TEST_CASE("Requests that each hold a part of what the other one needs do not wait for one another") {
  const uint64_t one = OneBytes();
  ManagerFixture f(2 * one, Waits(absl::Milliseconds(5), absl::Seconds(30)));
  const std::vector<std::vector<std::string>> sets{{"a", "b"}, {"c", "d"}, {"a", "d"}, {"b", "c"}};
  for (const char* name : {"a", "c"}) REQUIRE(f.Load(name, OneExpert(1)).ok());
  for (const char* name : {"b", "d"}) REQUIRE(f.Load(name, OneExpert(2)).ok());
  std::atomic<int> served{0}, refused{0};
  std::vector<std::thread> threads;
  for (const auto& names : sets) {
    threads.emplace_back([&f, &served, &refused, names] {
      for (int i = 0; i < 20; ++i) ++(Acquire(f, names, absl::Seconds(30)).ok() ? served : refused);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(served == 80);
  CHECK(refused == 0);
}

TEST_CASE("Many requests under a budget of one adapter are all served") {
  ManagerFixture f(OneBytes(), Waits(absl::Milliseconds(5), absl::Seconds(30)));
  const std::vector<std::string> names{"a", "b", "c", "d"};
  for (size_t i = 0; i < names.size(); ++i) {
    REQUIRE(f.Load(names[i], EsftManifest({{1 + static_cast<int>(i) % 2, static_cast<int>(i) / 2}})).ok());
  }
  std::atomic<int> served{0}, refused{0};
  std::vector<std::thread> threads;
  for (size_t k = 0; k < 8; ++k) {
    threads.emplace_back([&, k] {
      for (size_t i = 0; i < 20; ++i) {
        const auto set = Acquire(f, {names[(i * 7 + k * 3) % names.size()]}, absl::Seconds(30));
        ++(set.ok() ? served : refused);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(served == 160);
  CHECK(refused == 0);
}

}  // namespace
}  // namespace guildhall
