#include "kernels/cuda/pinned_arena.h"

#include <algorithm>

#include "base/align.h"
#include "base/check.h"
#include "base/format_bytes.h"
#include "base/status.h"
#include "base/str_cat.h"

namespace guildhall::cuda {
namespace {

// Of one piece, at least: a few hundred of them serve the largest load.
constexpr size_t kPieceBytes = size_t{16} << 20;

}  // namespace

PinnedArena::~PinnedArena() {
  for (const Piece& piece : pieces_) {
    GH_CHECK(piece.runs.empty());
    (void)cudaFreeHost(piece.begin);
  }
}

std::byte* PinnedArena::TakeFrom(Piece& piece, size_t bytes) {
  size_t place = 0;
  for (const auto& [offset, run] : piece.runs) {
    if (offset - place >= bytes) break;
    place = offset + run;
  }
  if (piece.bytes - place < bytes) return nullptr;
  piece.runs.emplace(place, bytes);
  return piece.begin + place;
}

absl::StatusOr<PinnedArena::Piece*> PinnedArena::Lock(size_t bytes) {
  GH_RETURN_IF_ERROR(device_.MakeCurrent());
  void* memory = nullptr;
  const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocDefault);
  if (error != cudaSuccess) {
    return absl::ResourceExhaustedError(
        StrCat("pinned host memory: ", FormatBytes(bytes), " cannot be locked beside ",
               FormatBytes(locked_bytes_), " that are: ", StatusOf(error, "locking").message(),
               "; raise the limit of locked memory (ulimit -l) or the container's memory"));
  }
  locked_bytes_ += bytes;
  return &pieces_.emplace_back(Piece{static_cast<std::byte*>(memory), bytes, {}});
}

absl::StatusOr<std::byte*> PinnedArena::Take(size_t bytes) {
  bytes = std::max(AlignUp(bytes), kAlignment);
  std::lock_guard lock(mutex_);
  for (Piece& piece : pieces_) {
    if (std::byte* const place = TakeFrom(piece, bytes)) return place;
  }
  GH_ASSIGN_OR_RETURN(Piece* const piece, Lock(std::max(bytes, kPieceBytes)));
  return TakeFrom(*piece, bytes);
}

void PinnedArena::Give(std::byte* begin) {
  std::lock_guard lock(mutex_);
  for (Piece& piece : pieces_) {
    if (begin < piece.begin || begin >= piece.begin + piece.bytes) continue;
    GH_CHECK_EQ(piece.runs.erase(static_cast<size_t>(begin - piece.begin)), size_t{1});
    return;
  }
  CheckFailed(__FILE__, __LINE__, "a run of this arena");
}

size_t PinnedArena::locked_bytes() const {
  std::lock_guard lock(mutex_);
  return locked_bytes_;
}

}  // namespace guildhall::cuda
