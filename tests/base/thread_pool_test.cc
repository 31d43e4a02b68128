#include "base/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <thread>
#include <vector>

using guildhall::AllowedCpus;
using guildhall::ThreadPool;

TEST_CASE("every item runs exactly once, on a worker of the pool") {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (const int64_t items : {0, 1, 2, 3, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(items));
      std::atomic<bool> worker_in_range{true};
      pool.Run(items, [&](int64_t item, int worker) {
        runs[static_cast<size_t>(item)].fetch_add(1);
        if (worker < 0 || worker >= threads) worker_in_range = false;
      });
      for (const auto& count : runs) REQUIRE(count.load() == 1);
      CHECK(worker_in_range);
    }
  }
}

TEST_CASE("what items wrote is visible when the loop returns, loop after loop") {
  ThreadPool pool(3);
  std::vector<int> values(64, 0);
  for (int round = 1; round <= 20000; ++round) {
    // Plain memory on purpose: the thread sanitizer watches that the pool orders it.
    pool.Run(static_cast<int64_t>(values.size()),
             [&](int64_t item, int) { values[static_cast<size_t>(item)] += 1; });
    REQUIRE(values[static_cast<size_t>(round) % values.size()] == round);
  }
}

TEST_CASE("workers that sleep are woken") {
  ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    // Each item waits for the other, so one thread alone would never end.
    std::atomic<int> arrived{0};
    pool.Run(2, [&](int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    CHECK(arrived.load() == 2);
  }
}

TEST_CASE("an idle pool takes no CPU time") {
  ThreadPool pool(4);
  pool.Run(100, [](int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto cpu_seconds = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  const double before = cpu_seconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  // Three spinning workers would take up to 0.9 s.
  CHECK(cpu_seconds() - before < 0.1);
}

TEST_CASE("pinned workers run every item, too") {
  ThreadPool pool(3, /*pin=*/true);
  std::atomic<int> runs{0};
  pool.Run(50, [&](int64_t, int) { runs.fetch_add(1); });
  CHECK(runs.load() == 50);
}

TEST_CASE("allowed CPUs follow the affinity of the process") {
  const int all = AllowedCpus();
  REQUIRE(all >= 1);
  // In a thread of its own, so that the test program keeps its CPUs.
  int restricted = 0;
  std::thread([&] {
    cpu_set_t set;
    REQUIRE(sched_getaffinity(0, sizeof(set), &set) == 0);
    int first = 0;
    while (!CPU_ISSET(first, &set)) ++first;
    CPU_ZERO(&set);
    CPU_SET(first, &set);
    REQUIRE(sched_setaffinity(0, sizeof(set), &set) == 0);
    restricted = AllowedCpus();
  }).join();
  CHECK(restricted == 1);
}
