#include "base/buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/align.h"
#include "base/check.h"
#include "base/memory_nodes.h"
#include "base/str_cat.h"

namespace guildhall {
namespace {

constexpr size_t kSmallPage = size_t{4} << 10;
constexpr size_t kHugePage = size_t{2} << 20;

// The bytes that a buffer of `size` really maps.
size_t MappedBytes(size_t size) {
  return AlignUp(size, size >= kHugePage ? kHugePage : kSmallPage);
}

void Unmap(void* address, size_t bytes) {
  if (bytes > 0) GH_CHECK_EQ(munmap(address, bytes), 0);
}

// Reserves more than asked for and gives back both ends, so that the rest starts on a 2 MiB border.
void* MapAligned(size_t bytes) {
  void* raw = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return raw;
  std::byte* begin = static_cast<std::byte*>(raw);
  const size_t head = (kHugePage - reinterpret_cast<uintptr_t>(raw) % kHugePage) % kHugePage;
  Unmap(begin, head);
  Unmap(begin + head + bytes, kHugePage - head);
  // Advice only: a kernel without huge pages serves small ones.
  (void)madvise(begin + head, bytes, MADV_HUGEPAGE);
  SpreadOverNodes(begin + head, bytes);
  return begin + head;
}

}  // namespace

Buffer::~Buffer() {
  if (data_ != nullptr) Unmap(data_, MappedBytes(size_));
}

void Buffer::Release(size_t offset, size_t bytes) {
  GH_CHECK_LE(offset, size_);
  GH_CHECK_LE(bytes, size_ - offset);
  static const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));  // data_ is on a border of pages
  const size_t begin = AlignUp(offset, page);
  const size_t end = (offset + bytes) / page * page;
  if (begin < end) (void)madvise(data() + begin, end - begin, MADV_DONTNEED);
}

absl::StatusOr<Buffer> Buffer::Allocate(size_t bytes, const char* what) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  void* data = MAP_FAILED;
  // Beyond half the address space the sums below would wrap, and no system has that much.
  if (bytes > SIZE_MAX / 2) {
    errno = ENOMEM;
  } else if (bytes >= kHugePage) {
    data = MapAligned(MappedBytes(bytes));
  } else {
    data = mmap(nullptr, MappedBytes(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (data == MAP_FAILED) {
    return absl::ResourceExhaustedError(StrCat(
        what, ": cannot get ", bytes, " bytes of memory: ", static_cast<const char*>(strerror(errno))));
  }
  buffer.data_ = data;
  buffer.size_ = bytes;
  return buffer;
}

}  // namespace guildhall
