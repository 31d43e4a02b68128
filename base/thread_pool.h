// The compute pool: a fixed team of threads that runs one parallel loop at a time for the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace guildhall {

// The caller of Run() is worker 0 and works along. Workers spin briefly for the next loop, then sleep, so
// that an idle server takes no CPU. One caller at a time; Run() does not nest.
class ThreadPool {
 public:
  // `threads` >= 1, the caller counted in. With `pin`, workers are bound to the allowed CPUs in turn.
  explicit ThreadPool(int threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // body(item, worker) once for every item in [0, items), taken from one atomic counter in ascending order by
  // whoever is free; returns when all are done. Nothing may depend on which worker takes which item.
  // Allocates nothing.
  template <typename Body>
  void Run(int64_t items, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    RunErased(
        items, [](void* context, int64_t item, int worker) { (*static_cast<Plain*>(context))(item, worker); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

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
