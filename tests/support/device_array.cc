#include "tests/support/device_array.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"

namespace guildhall {
namespace {

void Must(const absl::Status& status) {
  if (!status.ok()) CheckFailed(__FILE__, __LINE__, status.ToString());
}

template <typename T>
T Must(absl::StatusOr<T> value) {
  Must(value.status());
  return *std::move(value);
}

// A checksum of all that was read, in the file that GUILDHALL_TEST_DIGEST names: for who runs the same
// tests in several ways and expects the same bits.
class ReadDigest {
 public:
  ~ReadDigest() {
    if (path_ == nullptr) return;
    std::ofstream(path_) << bytes_ << " bytes, " << crc_ << "\n";
  }
  void Add(std::span<const std::byte> bytes) {
    if (path_ == nullptr) return;
    bytes_ += bytes.size();
    crc_ = Crc32c(bytes, crc_);
  }

 private:
  const char* const path_ = std::getenv("GUILDHALL_TEST_DIGEST");
  size_t bytes_ = 0;
  uint32_t crc_ = 0;
};

}  // namespace

DeviceBuffer CopyToDevice(Backend& backend, std::span<const std::byte> bytes) {
  // Of nothing, too, there is an address.
  DeviceBuffer buffer = Must(backend.memory().Allocate(std::max<size_t>(bytes.size(), 1), "a test's array"));
  if (bytes.empty()) return buffer;
  const HostTwin twin = Must(backend.memory().MakeTwin(buffer.data(), bytes.size()));
  std::memcpy(twin.data(), bytes.data(), bytes.size());
  Must(backend.memory().Upload(twin));
  return buffer;
}

void AwaitOps(Backend& backend) {
  Must(backend.Finish());
}

void CopyFromDevice(Backend& backend, const std::byte* home, std::span<std::byte> to) {
  if (to.empty()) return;
  const HostTwin twin = Must(backend.memory().MakeTwin(const_cast<std::byte*>(home), to.size()));
  Must(backend.memory().Download(twin, to.size()));
  std::memcpy(to.data(), twin.data(), to.size());
  static ReadDigest digest;
  digest.Add(to);
}

PackedWeights PackOnDevice(Backend& backend, const PackShape& shape, std::span<const TensorView> parts) {
  const size_t bytes = backend.PackedBytes(shape);
  DeviceBuffer memory = Must(backend.memory().Allocate(bytes, "a test's weights"));
  const HostTwin twin = Must(backend.memory().MakeTwin(memory.data(), bytes));
  backend.Pack(shape, parts, twin.data());
  Must(backend.memory().Upload(twin));
  const Matrix matrix = shape.At(memory.data());
  return {std::move(memory), matrix};
}

}  // namespace guildhall
