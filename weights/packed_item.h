// Packed weights before their bytes are there: what they are called, where they belong, how they are made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "kernels/weight_format.h"

namespace guildhall {

// What one worker brings along from item to item.
class PackScratch {
 public:
  // `stopped` (may be empty): whether the whole work is to end.
  explicit PackScratch(std::function<bool()> stopped) : stopped_(std::move(stopped)) {}

  static constexpr size_t kBuffers = 8;
  // CHECK: i < kBuffers.
  std::vector<std::byte>& operator[](size_t i) { return buffers_.at(i); }

  // Asked between the reads of an item: CANCELLED once the rest need not be done.
  absl::Status CheckStopped() const {
    return stopped_ && stopped_() ? absl::CancelledError("the load was cancelled") : absl::OkStatus();
  }

 private:
  std::array<std::vector<std::byte>, kBuffers> buffers_;
  std::function<bool()> stopped_;
};

// One stretch of bytes: a matrix, a vector, or what is made of one and the same tensors.
struct PackedItem {
  std::string name;  // "layers.3.experts.17.gate_up"
  WeightFormat format = WeightFormat::kF32;
  int64_t out = 0, in = 0;  // of the matrix, or of the matrices together; a vector: (1, n)
  size_t run = 0;           // the stretch of device memory that it lies in
  size_t offset = 0;        // there, a multiple of 64
  size_t bytes = 0;         // without the gap to the next item
  // Makes the bytes at `place`, a host address, 64-byte aligned, of any content. Gaps between parts may keep
  // theirs. Any thread, with scratch of its own. Errors are those of the source that is read.
  std::function<absl::Status(std::byte* place, PackScratch& scratch)> fill = {};
};

}  // namespace guildhall
