#include "tests/cuda_emulation/shared_memory.h"

#include <sys/mman.h>

#include <cstring>

#include "base/align.h"
#include "base/check.h"
#include "emulated/ptx_instructions.h"
#include "tests/cuda_emulation/asan.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kAlignmentBytes = 1024;
constexpr size_t kGuardBytes = size_t{64} << 10;

}  // namespace

constinit thread_local std::byte* dynamic_shared = nullptr;

std::byte* SharedMemoryOfBlock() {
  return dynamic_shared;
}

SharedMemory::SharedMemory() {
  void* const memory = mmap(nullptr, kMostBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  GH_CHECK(memory != MAP_FAILED);
  memory_ = static_cast<std::byte*>(memory);
  GH_CHECK_EQ(mprotect(memory_ + kMostBytes, kGuardBytes, PROT_NONE), 0);
}

SharedMemory::~SharedMemory() {
  AllowAddresses(memory_, kMostBytes);
  munmap(memory_, kMostBytes + kGuardBytes);
}

std::span<std::byte> SharedMemory::Take(size_t bytes) {
  GH_CHECK_LE(bytes, kMostBytes);
  std::byte* const begin = memory_ + kMostBytes - AlignUp(bytes, kAlignmentBytes);
  ForbidAddresses(memory_, kMostBytes);
  AllowAddresses(begin, bytes);
  taken_ = {begin, bytes};
  return taken_;
}

void SharedMemory::Poison() {
  std::memset(taken_.data(), 0xff, taken_.size());
}

bool SharedMemory::IsGuard(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return at >= memory_ + kMostBytes && at < memory_ + kMostBytes + kGuardBytes;
}

}  // namespace guildhall::emulation
