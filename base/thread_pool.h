// The compute pool: a fixed team of threads that runs one parallel loop at a time for the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

namespace guildhall {

// Told of parallel loops while somebody wants to know; times are SteadyNs(). What it learned of a loop is
// visible to the caller of Run() when that returns.
class LoopObserver {
 public:
  virtual ~LoopObserver() = default;
  // On the worker that ran the item.
  virtual void ItemDone(int worker, int64_t begin_ns, int64_t end_ns) = 0;
  // On the caller, after all items of the loop.
  virtual void LoopDone(int64_t begin_ns, int64_t end_ns) = 0;
};

// The caller of Run() is worker 0 and works along. A thread that waits spins
// for 40 us (200 where no other thread wants its CPU), then sleeps, so that
// an idle server takes no CPU. One caller at a time; Run() does not nest.
class ThreadPool {
 public:
  // `threads` >= 1, the caller counted in. With `pin`, threads are bound as PlaceWorkers() of
  // cpu_placement.h says for the CPUs that are allowed here. The caller of Run() is bound by its first loop,
  // until the pool is destroyed on the same thread; other threads inherit from it, so it should start none.
  explicit ThreadPool(int threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  // "bound to CPUs 0-1", or why not; empty without `pin`.
  const std::string& placement() const;

  // body(item, worker) once for every item in [0, items); returns when all are done. Each worker has a
  // stretch of neighbours for itself, in ascending order, so that neighbouring weights are read as one
  // stream; one that has finished takes the last items of the longest stretch. Nothing may depend on which
  // worker takes which item. Allocates nothing.
  template <typename Body>
  void Run(int64_t items, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    RunErased(
        items, [](void* context, int64_t item, int worker) { (*static_cast<Plain*>(context))(item, worker); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // From the next loop on; null: nobody, and nothing is measured. Loops that one thread runs alone are not
  // told of. By the caller of Run(), between loops.
  void Observe(LoopObserver* observer);

 private:
  struct State;
  using Function = void (*)(void* context, int64_t item, int worker);
  void RunErased(int64_t items, Function function, void* context);

  int threads_;
  std::unique_ptr<State> state_;
};

// CPUs that this process may use: affinity and the cgroup's quota, at least 1.
int AllowedCpus();

}  // namespace guildhall
