#include "base/work_gate.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace guildhall {
namespace {

void AwaitWaiting(const WorkGate& gate, int64_t count) {
  while (gate.waiting() < count) std::this_thread::yield();
}

TEST_CASE("work without a limit goes on, and ends when nobody waits for it") {
  CHECK(WorkLimit().Check().ok());
  CHECK(WorkLimit{.cancelled = [] { return false; }}.Check().ok());
  CHECK(absl::IsCancelled(WorkLimit{.cancelled = [] { return true; }}.Check()));
  CHECK(WorkLimit{.deadline = absl::Now() + absl::Hours(1)}.Check().ok());
  CHECK(absl::IsDeadlineExceeded(WorkLimit{.deadline = absl::Now()}.Check()));
}

TEST_CASE("no more than the places are inside at once, and everybody gets in") {
  WorkGate gate(2);
  std::atomic<int> inside = 0, most = 0, done = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto pass = gate.Enter({});
        const int now = ++inside;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        --inside;
        ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(done == 400);
  CHECK(most <= 2);
  CHECK(gate.waiting() == 0);
}

TEST_CASE("who waits longest is next") {
  WorkGate gate(1);
  auto first = gate.Enter({});
  std::vector<int> order;  // guarded by the gate
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const auto pass = gate.Enter({});
      order.push_back(t);
    });
    AwaitWaiting(gate, t + 1);
  }
  first->Leave();
  for (std::thread& thread : threads) thread.join();
  CHECK(order == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("the end of a call ends its waiting and keeps nobody out") {
  WorkGate gate(1);
  auto first = gate.Enter({});
  std::atomic<bool> gone = false;
  absl::Status cancelled, late;
  std::thread one([&] { cancelled = gate.Enter({.cancelled = [&] { return gone.load(); }}).status(); });
  std::thread two([&] { late = gate.Enter({.deadline = absl::Now() + absl::Milliseconds(20)}).status(); });
  two.join();
  AwaitWaiting(gate, 1);
  gone = true;
  one.join();
  CHECK(absl::IsCancelled(cancelled));
  CHECK(absl::IsDeadlineExceeded(late));
  CHECK(gate.waiting() == 0);
  first->Leave();
  CHECK(gate.Enter({.deadline = absl::Now() + absl::Seconds(60)}).ok());
}

}  // namespace
}  // namespace guildhall
