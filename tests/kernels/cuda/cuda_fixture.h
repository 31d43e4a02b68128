// What the tests of the CUDA back end's host side share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "tests/cuda_emulation/emulated_device.h"

namespace guildhall {

inline constexpr size_t kMiB = size_t{1} << 20;

// A back end on emulated devices that are made anew, without errors of the test before.
class CudaFixture {
 public:
  explicit CudaFixture(emulation::Options options = {}, const std::string& device = "cuda");
  ~CudaFixture();  // CHECK: nothing is left on the device or locked

  Backend& operator*() { return *backend_; }
  Backend* operator->() { return backend_.get(); }

  // Prepared for steps of up to 64 rows.
  void PrepareSteps();
  // Bytes 0, 1, 2, ... brought to a buffer, and back.
  DeviceBuffer Upload(std::span<const float> values);
  std::vector<float> Download(const std::byte* home, size_t count);
  // An op that is enqueued: `to` becomes row 0 of `from` (width 4).
  void CopyRow(const float* from, float* to);

 private:
  std::unique_ptr<Backend> backend_;
  DeviceBuffer zero_;
};

// What MakeBackend says of a device that cannot be had.
absl::Status Refusal(const emulation::Options& options, const std::string& device = "cuda");

}  // namespace guildhall
