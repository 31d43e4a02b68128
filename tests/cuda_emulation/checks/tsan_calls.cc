// What -fsanitize=thread and -fsanitize=alignment call, here for our own ends: each load and store of code
// that is compiled with them.
#include <cstddef>
#include <cstdint>

#include "base/str_cat.h"
#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

// Of the compiler's own making: where in the source, and of which type.
struct MisalignedPlace {
  const char* file;
  uint32_t line, column;
  const struct {
    uint16_t kind, info;
    char name[1];
  } * type;
  unsigned char log_alignment, kind;
};

inline void Tell(const volatile void* address, size_t bytes, Touch kind, const void* pc) {
  Watcher* const watcher = CurrentWatcher();
  if (watcher != nullptr) watcher->Touches({const_cast<const void*>(address), bytes, kind, pc});
}

}  // namespace
}  // namespace guildhall::emulation

using guildhall::emulation::Tell;
using guildhall::emulation::Touch;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define GH_TOUCHES(bytes)                                             \
  void __tsan_read##bytes(void* address) {                            \
    Tell(address, bytes, Touch::kRead, __builtin_return_address(0));  \
  }                                                                   \
  void __tsan_write##bytes(void* address) {                           \
    Tell(address, bytes, Touch::kWrite, __builtin_return_address(0)); \
  }                                                                   \
  void __tsan_unaligned_read##bytes(void* address) {                  \
    Tell(address, bytes, Touch::kRead, __builtin_return_address(0));  \
  }                                                                   \
  void __tsan_unaligned_write##bytes(void* address) {                 \
    Tell(address, bytes, Touch::kWrite, __builtin_return_address(0)); \
  }
GH_TOUCHES(1)
GH_TOUCHES(2)
GH_TOUCHES(4)
GH_TOUCHES(8)
GH_TOUCHES(16)
#undef GH_TOUCHES

void __tsan_read_range(void* address, size_t bytes) {
  Tell(address, bytes, Touch::kRead, __builtin_return_address(0));
}
void __tsan_write_range(void* address, size_t bytes) {
  Tell(address, bytes, Touch::kWrite, __builtin_return_address(0));
}

#define GH_ATOMICS(bits)                                                                                   \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t* from, int) {                    \
    Tell(from, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                     \
    return __atomic_load_n(from, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                        \
  void __tsan_atomic##bits##_store(volatile uint##bits##_t* to, uint##bits##_t value, int) {               \
    Tell(to, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                       \
    __atomic_store_n(to, value, __ATOMIC_SEQ_CST);                                                         \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_exchange(volatile uint##bits##_t* to, uint##bits##_t value, int) {  \
    Tell(to, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                       \
    return __atomic_exchange_n(to, value, __ATOMIC_SEQ_CST);                                               \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_add(volatile uint##bits##_t* to, uint##bits##_t value, int) { \
    Tell(to, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                       \
    return __atomic_fetch_add(to, value, __ATOMIC_SEQ_CST);                                                \
  }                                                                                                        \
  uint##bits##_t __tsan_atomic##bits##_fetch_sub(volatile uint##bits##_t* to, uint##bits##_t value, int) { \
    Tell(to, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                       \
    return __atomic_fetch_sub(to, value, __ATOMIC_SEQ_CST);                                                \
  }                                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile uint##bits##_t* to, uint##bits##_t* expected, \
                                                    uint##bits##_t value, int, int) {                      \
    Tell(to, bits / 8, Touch::kAtomic, __builtin_return_address(0));                                       \
    return __atomic_compare_exchange_n(to, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);    \
  }                                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile uint##bits##_t* to, uint##bits##_t* expected,   \
                                                  uint##bits##_t value, int success, int failure) {        \
    return __tsan_atomic##bits##_compare_exchange_strong(to, expected, value, success, failure);           \
  }
GH_ATOMICS(8)
GH_ATOMICS(16)
GH_ATOMICS(32)
GH_ATOMICS(64)
#undef GH_ATOMICS

// Called where a pointer is used that is not aligned to its type.
void __ubsan_handle_type_mismatch_v1(void* place, void* address) {
  if (guildhall::emulation::CurrentFiber() == nullptr) return;
  const auto& at = *static_cast<const guildhall::emulation::MisalignedPlace*>(place);
  const std::string file = at.file;
  guildhall::emulation::Report(guildhall::StrCat(
      "misaligned: ", &at.type->name[0], " at an address that ends in ",
      reinterpret_cast<uintptr_t>(address) % 16, " of 16 and needs ", 1u << at.log_alignment,
      "-byte alignment (", file.substr(file.rfind('/') + 1), ":", at.line, ")"));
}

}  // extern "C"
