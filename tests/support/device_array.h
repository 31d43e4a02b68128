// The tests' way into a back end's memory and out of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

#include "base/tensor_view.h"
#include "kernels/backend.h"

namespace guildhall {

// Device memory that holds a copy of `bytes`; CHECKs that there is room.
DeviceBuffer CopyToDevice(Backend& backend, std::span<const std::byte> bytes);
// Awaits what was enqueued and CHECKs that it went well.
void AwaitOps(Backend& backend);
// Copies from `home` as many bytes as `to` has; no op still writes there.
void CopyFromDevice(Backend& backend, const std::byte* home, std::span<std::byte> to);

// An array in a back end's memory: an operand of ops that are awaited before it goes.
template <typename T>
class DeviceArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceArray(Backend& backend, std::span<const T> values)
      : backend_(&backend), size_(values.size()), buffer_(CopyToDevice(backend, std::as_bytes(values))) {}

  T* data() const { return buffer_.As<T>(); }  // on the device
  size_t size() const { return size_; }
  // After all that was enqueued.
  std::vector<T> Read() const {
    std::vector<T> values(size_);
    AwaitOps(*backend_);
    CopyFromDevice(*backend_, buffer_.data(), std::as_writable_bytes(std::span(values)));
    return values;
  }

 private:
  Backend* backend_;
  size_t size_;
  DeviceBuffer buffer_;
};

// A copy of a vector, a span or an array of the host.
template <std::ranges::contiguous_range Values>
auto OnDevice(Backend& backend, const Values& values) {
  using T = std::ranges::range_value_t<Values>;
  return DeviceArray<T>(backend, std::span<const T>(values));
}

// Room for `count` of one value.
template <typename T>
DeviceArray<T> FilledOnDevice(Backend& backend, int64_t count, T value) {
  return OnDevice(backend, std::vector<T>(static_cast<size_t>(count), value));
}

// A matrix that was packed on the host and brought to the device, with its memory.
struct PackedWeights {
  DeviceBuffer memory;
  Matrix matrix;
};
PackedWeights PackOnDevice(Backend& backend, const PackShape& shape, std::span<const TensorView> parts);

}  // namespace guildhall
