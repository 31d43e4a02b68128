#include "tests/reference/guarded_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/align.h"
#include "base/check.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall {

class GuardedMemory::Pages final : public PageMemory {
 public:
  explicit Pages(GuardedMemory& memory) : memory_(memory) {}

  size_t page_bytes() const override { return 4096; }
  absl::StatusOr<std::byte*> Reserve(size_t bytes) override { return memory_.Take(bytes, page_bytes()); }
  void Unreserve(std::byte*, size_t) override {}
  absl::Status Map(std::byte* begin, size_t bytes) override {
    memory_.Create(begin, bytes);
    return absl::OkStatus();
  }
  void Unmap(std::byte* begin, size_t bytes) override { memory_.Destroy(begin, bytes); }

 private:
  GuardedMemory& memory_;
};

GuardedMemory::GuardedMemory(size_t bytes) : bytes_(bytes), pages_(std::make_unique<Pages>(*this)) {
  file_ = memfd_create("guarded device memory", MFD_CLOEXEC);
  GH_CHECK_GE(file_, 0);
  GH_CHECK_EQ(ftruncate(file_, static_cast<off_t>(bytes)), 0);
  const auto map = [&](int access) {
    void* memory = mmap(nullptr, bytes, access, MAP_SHARED | MAP_NORESERVE, file_, 0);
    GH_CHECK(memory != MAP_FAILED);
    return static_cast<std::byte*>(memory);
  };
  outside_ = map(PROT_NONE);
  inside_ = map(PROT_READ | PROT_WRITE);
}

GuardedMemory::~GuardedMemory() {
  GH_CHECK(alive_.empty());
  munmap(outside_, bytes_);
  munmap(inside_, bytes_);
  close(file_);
}

absl::StatusOr<std::byte*> GuardedMemory::Take(size_t bytes, size_t alignment) {
  const std::lock_guard lock(mutex_);
  const size_t begin = AlignUp(taken_, alignment);
  if (bytes > bytes_ - begin) {
    return absl::ResourceExhaustedError(
        StrCat(bytes, " bytes are asked for and ", bytes_ - begin, " of the device's ", bytes_, " are left"));
  }
  taken_ = begin + bytes;
  return outside_ + begin;
}

void GuardedMemory::Create(std::byte* home, size_t bytes) {
  const std::lock_guard lock(mutex_);
  alive_.emplace(home, bytes);
  std::memset(home + offset(), 0xff, bytes);
}

void GuardedMemory::Destroy(std::byte* home, size_t bytes) {
  const std::lock_guard lock(mutex_);
  // Pages are given back in other pieces than they were taken in.
  for (size_t left = bytes; left > 0;) {
    auto piece = alive_.upper_bound(home);
    GH_CHECK(piece != alive_.begin());
    const auto [begin, size] = *--piece;
    const auto skip = static_cast<size_t>(home - begin);
    GH_CHECK_LT(skip, size);
    const size_t here = std::min(left, size - skip);
    alive_.erase(piece);
    if (skip > 0) alive_.emplace(begin, skip);
    if (skip + here < size) alive_.emplace(begin + skip + here, size - skip - here);
    std::memset(home + offset(), 0xff, here);
    home += here;
    left -= here;
  }
}

void GuardedMemory::Check(const std::byte* begin, size_t bytes) const {
  const std::lock_guard lock(mutex_);
  while (bytes > 0) {
    auto piece = alive_.upper_bound(begin);
    GH_CHECK(piece != alive_.begin());  // or no device memory is there
    --piece;
    const auto skip = static_cast<size_t>(begin - piece->first);
    GH_CHECK_LT(skip, piece->second);
    const size_t here = std::min(bytes, piece->second - skip);
    begin += here;
    bytes -= here;
  }
}

absl::StatusOr<DeviceBuffer> GuardedMemory::Allocate(size_t bytes, std::string_view what) {
  if (bytes == 0) return DeviceBuffer();
  const absl::StatusOr<std::byte*> home = Take(bytes, kAlignment);
  if (!home.ok()) {
    return absl::ResourceExhaustedError(StrCat(what, ": ", std::string(home.status().message())));
  }
  Create(*home, bytes);
  const auto free = [this, bytes](std::byte* begin) { Destroy(begin, bytes); };
  return DeviceBuffer(*home, bytes, std::shared_ptr<std::byte>(*home, free));
}

absl::StatusOr<HostTwin> GuardedMemory::MakeTwin(std::byte* home, size_t bytes) {
  Check(home, bytes);
  auto memory = std::make_shared<std::vector<std::byte>>(bytes + kAlignment, std::byte{0xee});
  const auto address = reinterpret_cast<uintptr_t>(memory->data());
  return HostTwin(home, memory->data() + (AlignUp(address) - address), bytes, memory);
}

absl::Status GuardedMemory::Upload(const HostTwin& twin) {
  std::memcpy(At(twin.home(), static_cast<int64_t>(twin.size())), twin.data(), twin.size());
  return absl::OkStatus();
}

absl::Status GuardedMemory::Download(const HostTwin& twin, size_t bytes) {
  GH_CHECK_LE(bytes, twin.size());
  std::memcpy(twin.data(), At(twin.home(), static_cast<int64_t>(bytes)), bytes);
  return absl::OkStatus();
}

absl::StatusOr<DeviceBuffer> GuardedMemory::Bring(std::span<const std::byte> bytes,
                                                  std::shared_ptr<const void>, std::string_view what) {
  GH_ASSIGN_OR_RETURN(DeviceBuffer buffer, Allocate(bytes.size(), what));
  std::memcpy(At(buffer.data(), static_cast<int64_t>(bytes.size())), bytes.data(), bytes.size());
  return buffer;
}

absl::StatusOr<AvailableMemory> GuardedMemory::Available() const {
  const std::lock_guard lock(mutex_);
  return AvailableMemory{.bytes = bytes_ - taken_, .source = "the guarded addresses"};
}

PageMemory& GuardedMemory::pages() {
  return *pages_;
}

}  // namespace guildhall
