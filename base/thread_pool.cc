#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/cpu_quota.h"

namespace guildhall {
namespace {

// Long enough to bridge the serial pieces between two loops of a step, short enough to leave a virtual CPU to
// others.
constexpr auto kSpin = std::chrono::microseconds(40);

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until ready() holds, at most kSpin. Returns whether it held.
template <typename Ready>
bool SpinUntil(Ready ready) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      Relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

// The allowed CPUs in ascending order; empty when the system does not say.
std::vector<int> AffinityCpus() {
  std::vector<int> cpus;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

void PinCurrentThread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // A refusal costs speed only.
  (void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

}  // namespace

// Nobody waits for a worker that has not taken an item: one that wakes late finds the loop over and goes back
// to sleep.
struct ThreadPool::State {
  // The loop of now: written by the caller while no item is out, read by whoever has taken one.
  Function function = nullptr;
  void* context = nullptr;

  // Items of the loop in the upper half, the next item in the lower. Taking one is a compare-exchange of the
  // whole word, so an item can only belong to the loop of now.
  alignas(64) std::atomic<uint64_t> ticket{0};
  alignas(64) std::atomic<int> unfinished{0};
  alignas(64) std::atomic<int> loops{0};  // counts loops; workers wait for it to change
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  bool Take(int64_t* item) {
    uint64_t word = ticket.load(std::memory_order_acquire);
    while ((word & 0xffffffffu) < (word >> 32)) {
      if (ticket.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        *item = static_cast<int64_t>(word & 0xffffffffu);
        return true;
      }
    }
    return false;
  }

  void TakePart(int worker) {
    int64_t item = 0;
    while (Take(&item)) {
      function(context, item, worker);
      if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_one();
    }
  }

  void WorkerMain(int worker) {
    int seen = 0;
    for (;;) {
      const auto changed = [&] { return loops.load(std::memory_order_acquire) != seen; };
      if (!SpinUntil(changed)) loops.wait(seen, std::memory_order_acquire);
      seen = loops.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      TakePart(worker);
    }
  }

  void Announce() {
    // Wraps after 2^32 loops; only a change matters.
    loops.store(static_cast<int>(static_cast<unsigned>(loops.load(std::memory_order_relaxed)) + 1u),
                std::memory_order_release);
    loops.notify_all();
  }
};

ThreadPool::ThreadPool(int threads, bool pin) : threads_(threads), state_(std::make_unique<State>()) {
  GH_CHECK_GE(threads, 1);
  const std::vector<int> cpus = pin ? AffinityCpus() : std::vector<int>();
  state_->workers.reserve(static_cast<size_t>(threads) - 1);
  for (int worker = 1; worker < threads; ++worker) {
    const int cpu = cpus.empty() ? -1 : cpus[static_cast<size_t>(worker) % cpus.size()];
    state_->workers.emplace_back([state = state_.get(), worker, cpu] {
      if (cpu >= 0) PinCurrentThread(cpu);
      state->WorkerMain(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->Announce();
  for (std::thread& worker : state_->workers) worker.join();
}

void ThreadPool::RunErased(int64_t items, Function function, void* context) {
  GH_CHECK_GE(items, 0);
  GH_CHECK_LE(items, int64_t{std::numeric_limits<int>::max()});
  if (threads_ == 1 || items <= 1) {
    for (int64_t item = 0; item < items; ++item) function(context, item, 0);
    return;
  }
  State& state = *state_;
  state.function = function;
  state.context = context;
  state.unfinished.store(static_cast<int>(items), std::memory_order_relaxed);
  state.ticket.store(static_cast<uint64_t>(items) << 32, std::memory_order_release);
  state.Announce();
  state.TakePart(0);
  const auto unfinished = [&] { return state.unfinished.load(std::memory_order_acquire); };
  if (SpinUntil([&] { return unfinished() == 0; })) return;
  for (int left = unfinished(); left != 0; left = unfinished()) {
    state.unfinished.wait(left, std::memory_order_acquire);
  }
}

int AllowedCpus() {
  const int affinity = static_cast<int>(AffinityCpus().size());
  const int cpus = affinity > 0 ? affinity : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = CpuQuota("/proc/self/cgroup", "/sys/fs/cgroup").value_or(cpus);
  return std::max(1, std::min(cpus, quota));
}

}  // namespace guildhall
