// Stacks that are switched by hand: a block's threads run on them, in turns of one thread of the host.
#pragma once

#include <cstddef>
#include <cstdint>

#include "emulated/thread_place.h"

// Keeps what a call must keep, leaves the stack's place in *save, and goes on where `load` was left.
extern "C" void guildhall_switch_stack(void** save, void* load);

namespace guildhall::emulation {

// A stack of its own and what is needed to go on there. The one without a stack is the host thread's own.
class Fiber {
 public:
  Fiber() = default;
  // Begins with `entry`, which calls Arrive() and never returns, when it is first switched to. `colour`: how
  // many bytes of the stack's end stay free.
  Fiber(void (*entry)(), std::byte* stack, size_t bytes, size_t colour);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `from`, which runs, and goes on with `to`; returns when somebody switches back.
  static void Switch(Fiber& from, Fiber& to) {
    Leave(from, to);
    guildhall_switch_stack(&from.stack_pointer_, to.stack_pointer_);
    Arrive(from);
  }
  // What an entry does first: `self` was switched to.
  static void Arrive(Fiber& self);

  const ThreadPlace* place = nullptr;  // of the thread of the block whose turns these are

 private:
  static void Leave(Fiber& from, Fiber& to);

  void* stack_pointer_ = nullptr;
  // For sanitizers.
  const void* bottom_ = nullptr;
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
  void* tsan_ = nullptr;
  bool tsan_owned_ = false;
};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
inline void Fiber::Leave(Fiber&, Fiber&) {}
inline void Fiber::Arrive(Fiber&) {}
#endif

}  // namespace guildhall::emulation
