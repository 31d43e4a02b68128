#include "tests/cuda_emulation/device_range.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/align.h"
#include "base/check.h"
#include "tests/cuda_emulation/asan.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kAddressBytes = size_t{256} << 30;
constexpr size_t kPage = 4096;

}  // namespace

DeviceRange::DeviceRange(size_t memory_bytes) : memory_bytes_(memory_bytes), taken_(kPage) {
  file_ = memfd_create("emulated device memory", MFD_CLOEXEC);
  GH_CHECK_GE(file_, 0);
  GH_CHECK_EQ(ftruncate(file_, static_cast<off_t>(kAddressBytes)), 0);
  const auto map = [&](int access) {
    void* const memory = mmap(nullptr, kAddressBytes, access, MAP_SHARED | MAP_NORESERVE, file_, 0);
    GH_CHECK(memory != MAP_FAILED);
    return static_cast<std::byte*>(memory);
  };
  outside_ = map(PROT_NONE);
  inside_ = map(PROT_READ | PROT_WRITE);
}

DeviceRange::~DeviceRange() {
  munmap(outside_, kAddressBytes);
  munmap(inside_, kAddressBytes);
  close(file_);
}

std::byte* DeviceRange::Reserve(size_t bytes, size_t alignment) {
  const std::lock_guard lock(mutex_);
  // Of the address, not of the place in the range: the range begins where the kernel put it.
  const auto base = reinterpret_cast<uintptr_t>(outside_);
  const size_t begin = AlignUp(base + taken_, std::max(alignment, kPage)) - base;
  // A page beyond the end stays free: neighbours are no neighbours.
  if (begin > kAddressBytes - 2 * kPage || bytes > kAddressBytes - 2 * kPage - begin) return nullptr;
  taken_ = AlignUp(begin + bytes, kPage) + kPage;
  return outside_ + begin;
}

bool DeviceRange::Charge(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > memory_bytes_ - charged_) return false;
  charged_ += bytes;
  return true;
}

void DeviceRange::Uncharge(size_t bytes) {
  const std::lock_guard lock(mutex_);
  GH_CHECK_LE(bytes, charged_);
  charged_ -= bytes;
}

size_t DeviceRange::free_bytes() const {
  const std::lock_guard lock(mutex_);
  return memory_bytes_ - charged_;
}

void DeviceRange::Protect(const std::byte* begin, size_t bytes, int access) const {
  GH_CHECK_EQ(mprotect(const_cast<std::byte*>(begin), AlignUp(bytes, kPage), access), 0);
}

void DeviceRange::Create(std::byte* begin, size_t bytes, bool open) {
  const std::lock_guard lock(mutex_);
  alive_[begin] = {begin, bytes, open};
  AllowAddresses(begin, bytes);
  ForbidAddresses(begin + bytes, AlignUp(bytes, kPage) - bytes + kPage);
  std::memset(inside_ + (begin - outside_), 0xff, AlignUp(bytes, kPage));
  if (open && opened_) Protect(begin, bytes, PROT_READ | PROT_WRITE);
}

void DeviceRange::Split(const std::byte* at) {
  auto piece = alive_.upper_bound(at);
  if (piece == alive_.begin()) return;
  --piece;
  const auto before = static_cast<size_t>(at - piece->first);
  if (before == 0 || before >= piece->second.bytes) return;
  alive_[at] = {at, piece->second.bytes - before, piece->second.open};
  piece->second.bytes = before;
}

bool DeviceRange::SetAccess(std::byte* begin, size_t bytes, bool open) {
  const std::lock_guard lock(mutex_);
  Split(begin);
  Split(begin + bytes);
  size_t found = 0;
  for (auto i = alive_.lower_bound(begin); i != alive_.end() && i->first < begin + bytes; ++i) {
    i->second.open = open;
    found += i->second.bytes;
  }
  if (found != bytes) return false;
  if (opened_) Protect(begin, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
  return true;
}

void DeviceRange::Destroy(std::byte* begin, size_t bytes) {
  const std::lock_guard lock(mutex_);
  Split(begin);
  Split(begin + bytes);
  alive_.erase(alive_.lower_bound(begin), alive_.lower_bound(begin + bytes));
  if (opened_) Protect(begin, bytes, PROT_NONE);
  // Gives the pages back to the system.
  GH_CHECK_EQ(fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin - outside_,
                        static_cast<off_t>(AlignUp(bytes, kPage))),
              0);
}

std::byte* DeviceRange::Inside(const void* begin, size_t bytes) const {
  const auto* at = static_cast<const std::byte*>(begin);
  const auto* const end = at + bytes;
  const std::lock_guard lock(mutex_);
  while (at < end) {
    auto piece = alive_.upper_bound(at);
    if (piece == alive_.begin()) return nullptr;
    --piece;
    const auto* const piece_end = piece->first + piece->second.bytes;
    if (at >= piece_end || !piece->second.open) return nullptr;
    at = piece_end;
  }
  return inside_ + (static_cast<const std::byte*>(begin) - outside_);
}

void DeviceRange::Open() {
  const std::lock_guard lock(mutex_);
  if (opened_) return;
  opened_ = true;
  // Runs of neighbours in one call.
  for (auto i = alive_.begin(); i != alive_.end();) {
    const std::byte* const begin = i->first;
    const std::byte* end = begin;
    for (; i != alive_.end() && i->first == end && i->second.open; ++i) {
      end = i->first + AlignUp(i->second.bytes, kPage);
      // The free page between neighbours is let in with them: what looks at addresses forbids it by itself.
      const auto next = std::next(i);
      if (next != alive_.end() && next->first == end + kPage) end += kPage;
    }
    if (end == begin) {
      ++i;
    } else {
      Protect(begin, static_cast<size_t>(end - begin), PROT_READ | PROT_WRITE);
    }
  }
}

void DeviceRange::Close() {
  const std::lock_guard lock(mutex_);
  if (!opened_) return;
  opened_ = false;
  Protect(outside_, taken_, PROT_NONE);
}

bool DeviceRange::Contains(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return at >= outside_ && at < outside_ + kAddressBytes;
}

DeviceRange::Piece DeviceRange::FindBefore(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto piece = alive_.upper_bound(static_cast<const std::byte*>(address));
  return piece != alive_.begin() ? std::prev(piece)->second : Piece{};
}

std::string DeviceRange::Describe(const void* address) const {
  // A crash may come while this thread holds the lock.
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return "device memory";
  const auto* const at = static_cast<const std::byte*>(address);
  auto piece = alive_.upper_bound(at);
  if (piece != alive_.begin() && at < (--piece)->first + AlignUp(piece->second.bytes, kPage)) {
    return piece->second.open ? "device memory" : "device memory that no access was set for";
  }
  return at < outside_ + taken_ ? "device memory that is freed, unmapped or never was"
                                : "device addresses that nobody asked for";
}

size_t DeviceRange::pieces() const {
  const std::lock_guard lock(mutex_);
  return alive_.size();
}

}  // namespace guildhall::emulation
