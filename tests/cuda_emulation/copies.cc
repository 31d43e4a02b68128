#include "tests/cuda_emulation/copies.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/str_cat.h"
#include "emulated/ptx_instructions.h"
#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/report.h"

namespace guildhall::emulation {
namespace {

constexpr size_t kBytes = 16;
using Piece = std::array<uint64_t, 2>;

struct Copy {
  std::byte* to;
  const std::byte* from;  // null: zeros
  Piece source, before;   // what was at both ends when it was issued
  unsigned group;
};

struct ThreadCopies {
  std::vector<Copy> under_way;  // as issued
  unsigned group = 0;           // the one that the next commit closes
};

Piece Read(const void* from) {
  Piece piece;
  std::memcpy(piece.data(), from, kBytes);
  return piece;
}

ThreadCopies& OfThread() {
  static thread_local std::vector<ThreadCopies> threads;
  const unsigned thread = CurrentFiber()->thread;
  if (thread >= threads.size()) threads.resize(thread + 1);
  return threads[thread];
}

void Finish(const Copy& copy) {
  const auto changed = [&](const char* what) {
    Report(StrCat("cp.async: the ", what, " of a copy to byte ", copy.to - CurrentBlock()->shared.data(),
                  " of shared memory changed between its issue and its wait"));
  };
  if (copy.from != nullptr && Read(copy.from) != copy.source) changed("source");
  if (Read(copy.to) != copy.before) changed("destination");
  std::memcpy(copy.to, copy.source.data(), kBytes);
  if (Watcher* const watcher = CurrentWatcher()) watcher->CopyArrives(copy.to, kBytes);
}

}  // namespace

void CheckShared(const char* what, const void* address, size_t bytes) {
  const auto shared = CurrentBlock()->shared;
  const auto* const begin = static_cast<const std::byte*>(address);
  if (begin < shared.data() || begin + bytes > shared.data() + shared.size()) {
    Report(StrCat(what, ": byte ", begin - shared.data(), " is outside of the ", shared.size(),
                  " bytes of the block's shared memory"));
  }
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) {
    Report(
        StrCat(what, ": byte ", begin - shared.data(), " of shared memory is not ", bytes, "-byte aligned"));
  }
}

void IssueCopy16(void* shared, const void* global, bool there) {
  CheckShared("cp.async", shared, kBytes);
  if (reinterpret_cast<uintptr_t>(global) % kBytes != 0)
    Report("cp.async: its source is not 16-byte aligned");
  ThreadCopies& copies = OfThread();
  if (Watcher* const watcher = CurrentWatcher()) {
    const void* const pc = __builtin_return_address(0);
    if (there) watcher->Touches({global, kBytes, Touch::kRead, pc});
    watcher->Touches({shared, kBytes, Touch::kCopyIssued, pc});
  }
  copies.under_way.push_back({static_cast<std::byte*>(shared),
                              there ? static_cast<const std::byte*>(global) : nullptr,
                              there ? Read(global) : Piece{}, Read(shared), copies.group});
}

void CommitCopies() {
  ++OfThread().group;
}

void WaitForCopies(unsigned groups_left) {
  ThreadCopies& copies = OfThread();
  size_t done = 0;
  while (done < copies.under_way.size() && copies.under_way[done].group + groups_left < copies.group) {
    Finish(copies.under_way[done++]);
  }
  copies.under_way.erase(copies.under_way.begin(), copies.under_way.begin() + static_cast<ptrdiff_t>(done));
}

void EndCopies() {
  ThreadCopies& copies = OfThread();
  if (!copies.under_way.empty()) {
    Report(StrCat("cp.async: the thread ends with ", copies.under_way.size(),
                  " copies under way that it did not wait for"));
  }
  copies.group = 0;
}

}  // namespace guildhall::emulation
