#include "base/thread_pool.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/cpu_placement.h"
#include "base/cpu_quota.h"
#include "base/steady_clock.h"

namespace guildhall {
namespace {

// Long enough to bridge most serial pieces between two
// loops of a step, short enough to leave a CPU to others.
constexpr auto kSpin = std::chrono::microseconds(40);
// Where no other thread wants the CPU: going to sleep and being woken takes longer than most waits.
constexpr auto kLongSpin = std::chrono::microseconds(200);
// A thread that was taken off its CPU within this time shares that CPU with others.
constexpr auto kMemory = std::chrono::milliseconds(20);

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How one thread waits before it sleeps: it spins for kSpin,
// and for kLongSpin if that takes the CPU from nobody.
class Spinner {
 public:
  // Spins until ready() holds, for a bounded time. Returns whether it held.
  template <typename Ready>
  bool Until(Ready ready) {
    const Clock::time_point begin = Clock::now();
    if (SpinTo(begin + kSpin, ready)) return true;
    return HasCpuForItself() && SpinTo(begin + kLongSpin, ready);
  }

 private:
  using Clock = std::chrono::steady_clock;

  template <typename Ready>
  static bool SpinTo(Clock::time_point deadline, Ready ready) {
    do {
      for (int i = 0; i < 32; ++i) {
        if (ready()) return true;
        Relax();
      }
    } while (Clock::now() < deadline);
    return false;
  }

  // Whether the system has let this thread keep its CPU for the last kMemory.
  bool HasCpuForItself() {
    rusage usage{};
    if (getrusage(RUSAGE_THREAD, &usage) != 0) return false;
    const Clock::time_point now = Clock::now();
    if (usage.ru_nivcsw != lost_) {
      lost_ = usage.ru_nivcsw;
      last_lost_ = now;
    }
    return now - last_lost_ > kMemory;
  }

  long lost_ = 0;  // times that the thread was put off its CPU
  Clock::time_point last_lost_{};
};

}  // namespace

// Run() waits for items, not for workers: one that wakes late
// finds no item left and goes back to sleep.
struct ThreadPool::State {
  // The current loop: written by the caller while no item is out, read by whoever has taken one.
  Function function = nullptr;
  void* context = nullptr;
  LoopObserver* observer = nullptr;

  // The items that a worker has for itself: the end in the upper half, the next one in the lower. Taking one
  // is a compare-exchange of the whole word, so an item always belongs to the current loop.
  struct alignas(64) Stretch {
    std::atomic<uint64_t> word{0};
  };
  std::vector<Stretch> stretches;
  alignas(64) std::atomic<int> unfinished{0};
  alignas(64) std::atomic<int> loops{0};  // counts loops; workers wait for it to change
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  Spinner caller_spinner;
  CpuPlacement placement;
  pthread_t caller{};            // the one that is bound
  std::vector<int> caller_cpus;  // that it could run on before; empty: none is bound

  static uint64_t Left(uint64_t word) { return (word >> 32) - (word & 0xffffffffu); }

  // The next item of the worker's own stretch.
  bool TakeOwn(int worker, int64_t* item) {
    std::atomic<uint64_t>& own = stretches[static_cast<size_t>(worker)].word;
    uint64_t word = own.load(std::memory_order_acquire);
    while (Left(word) > 0) {
      if (own.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
        *item = static_cast<int64_t>(word & 0xffffffffu);
        return true;
      }
    }
    return false;
  }

  // The last item of the longest stretch.
  bool Steal(int64_t* item) {
    for (;;) {
      std::atomic<uint64_t>* victim = nullptr;
      uint64_t word = 0;
      for (Stretch& stretch : stretches) {
        const uint64_t found = stretch.word.load(std::memory_order_acquire);
        if (Left(found) > Left(word)) victim = &stretch.word, word = found;
      }
      if (victim == nullptr) return false;
      if (victim->compare_exchange_weak(word, word - (uint64_t{1} << 32), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        *item = static_cast<int64_t>(word >> 32) - 1;
        return true;
      }
    }
  }

  void RunItem(int64_t item, int worker) {
    if (observer == nullptr) return function(context, item, worker);
    const int64_t begin = SteadyNs();
    function(context, item, worker);
    observer->ItemDone(worker, begin, SteadyNs());
  }

  void TakePart(int worker) {
    int64_t item = 0;
    while (TakeOwn(worker, &item) || Steal(&item)) {
      RunItem(item, worker);
      if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_one();
    }
  }

  void AwaitUnfinished() {
    const auto left = [&] { return unfinished.load(std::memory_order_acquire); };
    if (caller_spinner.Until([&] { return left() == 0; })) return;
    for (int now = left(); now != 0; now = left()) unfinished.wait(now, std::memory_order_acquire);
  }

  void WorkerMain(int worker) {
    Spinner spinner;
    int seen = 0;
    for (;;) {
      const auto changed = [&] { return loops.load(std::memory_order_acquire) != seen; };
      if (!spinner.Until(changed)) loops.wait(seen, std::memory_order_acquire);
      seen = loops.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      TakePart(worker);
    }
  }

  void BindCaller() {
    if (placement.cpus.empty()) return;
    if (!caller_cpus.empty() && pthread_equal(caller, pthread_self()) != 0) return;
    caller = pthread_self();
    caller_cpus = AffinityCpus();
    BindThread(placement.cpus[0]);
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
  if (pin) state_->placement = PlaceWorkers(threads, AffinityCpus(), CpuNodes("/sys/devices/system/node"));
  state_->stretches = std::vector<State::Stretch>(static_cast<size_t>(threads));
  state_->workers.reserve(static_cast<size_t>(threads) - 1);
  for (int worker = 1; worker < threads; ++worker) {
    state_->workers.emplace_back([state = state_.get(), worker] {
      const auto& cpus = state->placement.cpus;
      if (!cpus.empty()) BindThread(cpus[static_cast<size_t>(worker)]);
      state->WorkerMain(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->Announce();
  for (std::thread& worker : state_->workers) worker.join();
  const std::vector<int>& cpus = state_->caller_cpus;
  if (!cpus.empty() && pthread_equal(state_->caller, pthread_self()) != 0) BindThread(cpus);
}

const std::string& ThreadPool::placement() const {
  return state_->placement.text;
}

void ThreadPool::Observe(LoopObserver* observer) {
  state_->observer = observer;
}

void ThreadPool::RunErased(int64_t items, Function function, void* context) {
  GH_CHECK_GE(items, 0);
  GH_CHECK_LE(items, int64_t{std::numeric_limits<int>::max()});
  if (threads_ == 1 || items <= 1) {
    for (int64_t item = 0; item < items; ++item) function(context, item, 0);
    return;
  }
  State& state = *state_;
  state.BindCaller();
  const int64_t started = state.observer != nullptr ? SteadyNs() : 0;
  state.function = function;
  state.context = context;
  state.unfinished.store(static_cast<int>(items), std::memory_order_relaxed);
  for (int worker = 0; worker < threads_; ++worker) {
    const auto begin = static_cast<uint64_t>(items * worker / threads_);
    const auto end = static_cast<uint64_t>(items * (worker + 1) / threads_);
    state.stretches[static_cast<size_t>(worker)].word.store(end << 32 | begin, std::memory_order_release);
  }
  state.Announce();
  state.TakePart(0);
  state.AwaitUnfinished();
  if (state.observer != nullptr) state.observer->LoopDone(started, SteadyNs());
}

int AllowedCpus() {
  const int affinity = static_cast<int>(AffinityCpus().size());
  const int cpus = affinity > 0 ? affinity : static_cast<int>(std::thread::hardware_concurrency());
  const int quota = CpuQuota("/proc/self/cgroup", "/sys/fs/cgroup").value_or(cpus);
  return std::max(1, std::min(cpus, quota));
}

}  // namespace guildhall
