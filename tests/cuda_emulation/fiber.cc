#include "tests/cuda_emulation/fiber.h"

#include <cstring>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#ifndef __x86_64__
#error "the emulation switches stacks of x86-64"
#endif

asm(R"(
.text
.globl guildhall_switch_stack
.p2align 4
.type guildhall_switch_stack, @function
guildhall_switch_stack:
  .cfi_startproc
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
  .cfi_endproc
.size guildhall_switch_stack, . - guildhall_switch_stack
)");

namespace guildhall::emulation {

Fiber::Fiber(void (*entry)(), std::byte* stack, size_t bytes, size_t colour) : bottom_(stack), bytes_(bytes) {
  auto top = reinterpret_cast<uintptr_t>(stack + bytes - colour);
  top &= ~uintptr_t{63};
  auto* words = reinterpret_cast<uintptr_t*>(top) - 8;
  std::memset(words, 0, 8 * sizeof(uintptr_t));
  words[6] = reinterpret_cast<uintptr_t>(entry);  // behind six registers; the stack is then 8 off 16
  stack_pointer_ = words;
#ifdef __SANITIZE_THREAD__
  tsan_ = __tsan_create_fiber(0);
  tsan_owned_ = true;
#endif
}

Fiber::~Fiber() {
#ifdef __SANITIZE_THREAD__
  if (tsan_owned_) __tsan_destroy_fiber(tsan_);
#endif
}

#ifdef __SANITIZE_ADDRESS__
namespace {
thread_local Fiber* leaving = nullptr;
}

void Fiber::Leave(Fiber& from, Fiber& to) {
  leaving = &from;
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.bottom_, to.bytes_);
}

void Fiber::Arrive(Fiber& self) {
  const void* bottom = nullptr;
  size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack_, &bottom, &bytes);
  // The host thread's own stack is known from here on.
  if (leaving->bottom_ == nullptr) leaving->bottom_ = bottom, leaving->bytes_ = bytes;
}
#endif

#ifdef __SANITIZE_THREAD__
void Fiber::Leave(Fiber& from, Fiber& to) {
  if (from.tsan_ == nullptr) from.tsan_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.tsan_, 0);
}

void Fiber::Arrive(Fiber&) {}
#endif

}  // namespace guildhall::emulation
