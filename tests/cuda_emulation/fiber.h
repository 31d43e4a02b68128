// Stacks that are switched by hand: a block's threads run on them, in turns of one thread of the host.
#pragma once

#include <cstddef>
#include <cstdint>

namespace guildhall::emulation {

// A stack of its own and what is needed to go on there. The one without a stack is the host thread's own.
class Fiber {
 public:
  Fiber() = default;
  // Begins with `entry`, which never returns, when it is first switched to.
  Fiber(void (*entry)(), std::byte* stack, size_t bytes, size_t colour);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `from`, which runs, and goes on with `to`; returns when somebody switches back.
  static void Switch(Fiber& from, Fiber& to);

  unsigned thread = 0;  // of the block: whose turns these are

 private:
  static void Enter();
  void Arrive();

  void* stack_pointer_ = nullptr;
  void (*entry_)() = nullptr;
  const void* bottom_ = nullptr;  // of the stack, for AddressSanitizer
  size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
  void* tsan_ = nullptr;
  bool tsan_owned_ = false;
};

}  // namespace guildhall::emulation
