#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/cpu_placement.h"

using guildhall::AffinityCpus;
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

struct Worker {
  pid_t thread = 0;
  clockid_t cpu_clock = 0;

  static Worker Self() {
    Worker self{.thread = gettid()};
    pthread_getcpuclockid(pthread_self(), &self.cpu_clock);
    return self;
  }
  bool Sleeps() const {
    std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
    std::string line;
    while (std::getline(status, line) && line.rfind("State:", 0) != 0) continue;
    return line.find('S', std::size("State:")) != std::string::npos;
  }
  int64_t CpuNs() const {
    timespec time{};
    REQUIRE(clock_gettime(cpu_clock, &time) == 0);
    return int64_t{1'000'000'000} * time.tv_sec + time.tv_nsec;
  }
};

TEST_CASE("an idle pool takes no CPU time") {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  std::vector<Worker> workers(kThreads);
  std::atomic<int> arrived{0};
  // Every item waits for all others, so that each worker has one.
  pool.Run(kThreads, [&](int64_t, int worker) {
    workers[static_cast<size_t>(worker)] = Worker::Self();
    arrived.fetch_add(1);
    while (arrived.load() < kThreads) std::this_thread::yield();
  });
  // A busy machine may take long to let them go to sleep; from then on nothing wakes them.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  for (const Worker& worker : workers) {
    if (worker.thread == gettid()) continue;
    bool idle = false;
    while (!idle && std::chrono::steady_clock::now() < deadline) {
      const bool slept = worker.Sleeps();
      const int64_t before = worker.CpuNs();
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      idle = slept && worker.Sleeps() && worker.CpuNs() == before;
    }
    CHECK(idle);
  }
}

TEST_CASE("pinned workers run every item, too") {
  ThreadPool pool(3, /*pin=*/true);
  std::atomic<int> runs{0};
  pool.Run(50, [&](int64_t, int) { runs.fetch_add(1); });
  CHECK(runs.load() == 50);
  CHECK_FALSE(pool.placement().empty());
}

TEST_CASE(
    "a pinned team as large as the allowed CPUs has one thread on each, and the caller is free again later") {
  const std::vector<int> allowed = AffinityCpus();
  const auto threads = static_cast<int>(allowed.size());
  if (threads < 2) return;
  std::vector<std::vector<int>> cpus(allowed.size());
  std::atomic<int> arrived{0};
  {
    ThreadPool pool(threads, /*pin=*/true);
    // Every item waits for all others, so that each worker has one.
    pool.Run(threads, [&](int64_t, int worker) {
      cpus[static_cast<size_t>(worker)] = AffinityCpus();
      arrived.fetch_add(1);
      while (arrived.load() < threads) std::this_thread::yield();
    });
    CHECK(AffinityCpus().size() == 1);
  }
  CHECK(AffinityCpus() == allowed);
  std::vector<int> all;
  for (const std::vector<int>& own : cpus) {
    REQUIRE(own.size() == 1);
    all.push_back(own[0]);
  }
  std::sort(all.begin(), all.end());
  CHECK(all == allowed);
}

TEST_CASE("a pool that is not pinned leaves its caller alone") {
  const std::vector<int> allowed = AffinityCpus();
  ThreadPool pool(static_cast<int>(allowed.size()));
  pool.Run(100, [](int64_t, int) {});
  CHECK(AffinityCpus() == allowed);
  CHECK(pool.placement().empty());
}

namespace {

// Plain memory on purpose: the thread sanitizer watches that the pool orders it.
struct Recorder final : guildhall::LoopObserver {
  explicit Recorder(int threads) : items(static_cast<size_t>(threads)) {}
  void ItemDone(int worker, int64_t begin_ns, int64_t end_ns) override {
    items[static_cast<size_t>(worker)].emplace_back(begin_ns, end_ns);
  }
  void LoopDone(int64_t begin_ns, int64_t end_ns) override { loops.emplace_back(begin_ns, end_ns); }

  std::vector<std::vector<std::pair<int64_t, int64_t>>> items;  // by worker
  std::vector<std::pair<int64_t, int64_t>> loops;
};

}  // namespace

TEST_CASE("an observer learns of every item within its loop, until it is taken off") {
  ThreadPool pool(3);
  Recorder recorder(3);
  pool.Run(10, [](int64_t, int) {});
  pool.Observe(&recorder);
  for (int loop = 0; loop < 500; ++loop) {
    for (auto& items : recorder.items) items.clear();
    pool.Run(7, [](int64_t, int) {});
    REQUIRE(recorder.loops.size() == static_cast<size_t>(loop) + 1);
    size_t count = 0;
    for (const auto& items : recorder.items) {
      for (const auto& [begin, end] : items) {
        REQUIRE(begin >= recorder.loops.back().first);
        REQUIRE(end >= begin);
        REQUIRE(end <= recorder.loops.back().second);
        ++count;
      }
    }
    REQUIRE(count == 7);
  }
  pool.Observe(nullptr);
  pool.Run(7, [](int64_t, int) {});
  CHECK(recorder.loops.size() == 500);
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
