// Rotary angles by position, in device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/device_memory.h"
#include "model/rope.h"

namespace guildhall {

// Filled as positions are first reached; grows where more are reached than it was made for. Engine thread;
// the device memory outlives it.
class RopeTable {
 public:
  static size_t Bytes(const RopeSpec& spec, int64_t positions);
  // RESOURCE_EXHAUSTED.
  static absl::StatusOr<RopeTable> Allocate(const RopeSpec& spec, int64_t positions, DeviceMemory& memory);

  // From here on positions [0, end) may be read. RESOURCE_EXHAUSTED.
  absl::Status Reach(int64_t end);

  const float* cos() const { return cos_; }  // (positions, half), the attention factor multiplied in
  const float* sin() const { return sin_; }

 private:
  RopeTable(const RopeSpec& spec, DeviceMemory& memory) : spec_(spec), rope_(spec), memory_(&memory) {}

  RopeSpec spec_;
  Rope rope_;
  DeviceMemory* memory_;
  DeviceBuffer buffer_;
  float* cos_ = nullptr;
  float* sin_ = nullptr;
  int64_t positions_ = 0, reached_ = 0;
};

}  // namespace guildhall
