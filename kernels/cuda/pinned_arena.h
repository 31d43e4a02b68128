// Host memory that the device copies from and to without a detour: locked pages, taken in pieces and kept.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cuda/device.h"

namespace guildhall::cuda {

// Locking pages is slow and limited, so what was locked is used again and again. Thread-safe; outlives what
// it hands out.
class PinnedArena {
 public:
  explicit PinnedArena(const Device& device) : device_(device) {}
  ~PinnedArena();  // CHECK: all was given back
  PinnedArena(const PinnedArena&) = delete;
  PinnedArena& operator=(const PinnedArena&) = delete;

  // Aligned to kAlignment. RESOURCE_EXHAUSTED says how much is locked already, and what limits it.
  absl::StatusOr<std::byte*> Take(size_t bytes);
  void Give(std::byte* begin);

  size_t locked_bytes() const;

 private:
  struct Piece {
    std::byte* begin = nullptr;
    size_t bytes = 0;
    std::map<size_t, size_t> runs;  // offset -> bytes
  };

  static std::byte* TakeFrom(Piece& piece, size_t bytes);
  absl::StatusOr<Piece*> Lock(size_t bytes);

  const Device& device_;
  mutable std::mutex mutex_;
  std::vector<Piece> pieces_;
  size_t locked_bytes_ = 0;
};

}  // namespace guildhall::cuda
