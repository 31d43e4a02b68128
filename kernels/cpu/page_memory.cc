#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "base/str_cat.h"
#include "kernels/cpu/device_memory.h"

namespace guildhall {
namespace {

constexpr size_t kSmallPage = size_t{4} << 10;
constexpr size_t kHugePage = size_t{2} << 20;

absl::Status Refused(const char* what, size_t bytes) {
  return absl::ResourceExhaustedError(
      StrCat("pages: cannot ", what, " ", bytes, " bytes: ", static_cast<const char*>(strerror(errno))));
}

class CpuPageMemory final : public PageMemory {
 public:
  explicit CpuPageMemory(size_t page_bytes) : page_bytes_(page_bytes) {
    GH_CHECK_GT(page_bytes, size_t{0});
    GH_CHECK_EQ(page_bytes % kSmallPage, size_t{0});
  }

  size_t page_bytes() const override { return page_bytes_; }

  // Takes a page more than asked for and gives back both ends, so that the rest begins at a page's border.
  absl::StatusOr<std::byte*> Reserve(size_t bytes) override {
    GH_CHECK_EQ(bytes % page_bytes_, size_t{0});
    if (bytes > SIZE_MAX / 2) {
      errno = ENOMEM;
      return Refused("reserve addresses for", bytes);
    }
    void* raw =
        mmap(nullptr, bytes + page_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED) return Refused("reserve addresses for", bytes);
    std::byte* begin = static_cast<std::byte*>(raw);
    const size_t head = (page_bytes_ - reinterpret_cast<uintptr_t>(raw) % page_bytes_) % page_bytes_;
    Release(begin, head);
    Release(begin + head + bytes, page_bytes_ - head);
    return begin + head;
  }

  void Unreserve(std::byte* begin, size_t bytes) override { Release(begin, bytes); }

  absl::Status Map(std::byte* begin, size_t bytes) override {
    if (mprotect(begin, bytes, PROT_READ | PROT_WRITE) != 0) {
      const absl::Status refused = Refused("map", bytes);
      (void)mprotect(begin, bytes, PROT_NONE);  // a part may have been opened
      return refused;
    }
    // Advice only: a kernel without huge pages serves small ones.
    if (page_bytes_ % kHugePage == 0) (void)madvise(begin, bytes, MADV_HUGEPAGE);
    return absl::OkStatus();
  }

  void Unmap(std::byte* begin, size_t bytes) override {
    GH_CHECK_EQ(madvise(begin, bytes, MADV_DONTNEED), 0);
    // The memory is back already. Closing the addresses only catches stray reads, and may fail where a
    // process has too many mappings.
    (void)mprotect(begin, bytes, PROT_NONE);
  }

 private:
  static void Release(std::byte* begin, size_t bytes) {
    if (bytes > 0) GH_CHECK_EQ(munmap(begin, bytes), 0);
  }

  const size_t page_bytes_;
};

}  // namespace

std::unique_ptr<PageMemory> MakeCpuPageMemory(size_t page_bytes) {
  return std::make_unique<CpuPageMemory>(page_bytes);
}

}  // namespace guildhall
