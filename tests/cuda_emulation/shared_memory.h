// The dynamic shared memory of the block that runs.
#pragma once

#include <cstddef>
#include <span>

namespace guildhall::emulation {

// What is written behind its end, rounded up to 1 KiB, faults.
class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // 1024-byte aligned. At most kMostBytes.
  std::span<std::byte> Take(size_t bytes);
  // Every byte becomes 0xff: NaN in each float format, -1 in each integer.
  void Poison();

  bool IsGuard(const void* address) const;

  static constexpr size_t kMostBytes = size_t{256} << 10;

 private:
  std::byte* memory_ = nullptr;
  std::span<std::byte> taken_;
};

// The calling thread's, for DynamicShared(); null outside of kernels.
extern constinit thread_local std::byte* dynamic_shared;

}  // namespace guildhall::emulation
