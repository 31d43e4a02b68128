#include "base/mapped_watch.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// What the handler may look at: a signal has no other way to what it needs than a global.
struct Slot {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0}, end{0};  // both 0: not watched
  std::atomic<int> fd{-1};
  std::atomic<bool> lost{false};
};
constinit std::array<Slot, 64> slots;
struct sigaction before;
uintptr_t page_bytes = 4096;  // set before the handler is

bool PutZeros(uintptr_t begin, uintptr_t end) {
  return mmap(reinterpret_cast<void*>(begin), end - begin, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
              -1, 0) != MAP_FAILED;
}

// Zeros for the page; where the file ends before it, for all that follows, too, in one go.
bool Replace(Slot& slot, uintptr_t address) {
  const uintptr_t begin = slot.begin.load(), page = address & ~(page_bytes - 1);
  struct stat info;
  const bool cut = fstat(slot.fd.load(), &info) == 0 && static_cast<uintptr_t>(info.st_size) <= page - begin;
  slot.lost.store(true);
  return PutZeros(page, cut ? slot.end.load() : page + page_bytes);
}

// Calls what POSIX lets a handler call, and mmap, which on Linux is a system call as they are.
void OnBusError(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  const bool by_kernel = info->si_code > 0;
  for (Slot& slot : slots) {
    if (!by_kernel || address < slot.begin.load() || address >= slot.end.load()) continue;
    if (!Replace(slot, address)) break;
    errno = saved;
    return;
  }
  // Somebody else's: as if this handler were not there.
  sigaction(SIGBUS, &before, nullptr);
  if (!by_kernel) raise(signal);
  errno = saved;
}

void HandleBusErrors() {
  static std::once_flag once;
  std::call_once(once, [] {
    page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action {};
    action.sa_sigaction = OnBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedWatch>> MappedWatch::Start(std::shared_ptr<const MappedFile> file) {
  HandleBusErrors();
  for (size_t i = 0; i < slots.size(); ++i) {
    Slot& slot = slots[i];
    if (slot.taken.exchange(true)) continue;
    const auto begin = reinterpret_cast<uintptr_t>(file->bytes().data());
    slot.lost = false;
    slot.fd = file->descriptor();
    slot.begin = begin;
    slot.end = begin + (file->bytes().size() + page_bytes - 1) / page_bytes * page_bytes;
    return std::unique_ptr<MappedWatch>(new MappedWatch(std::move(file), i));
  }
  return absl::ResourceExhaustedError(
      StrCat(file->path(), ": expected at most ", slots.size(), " mapped files in use, found more"));
}

MappedWatch::~MappedWatch() {
  Slot& slot = slots[slot_];
  slot.end = 0;
  slot.begin = 0;
  slot.taken = false;
}

absl::Status MappedWatch::Check() const {
  if (!slots[slot_].lost.load(std::memory_order_relaxed)) return absl::OkStatus();
  return absl::DataLossError(StrCat(
      file_->path(), ": expected ", file_->bytes().size(),
      " bytes as when it was opened, found pages that cannot be read: the file was cut short while it was "
      "in use, or its disk fails; put it back and start again"));
}

}  // namespace guildhall
