#include "tests/kernels/cuda/cuda_fixture.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "kernels/make_backend.h"

namespace guildhall {

CudaFixture::CudaFixture(emulation::Options options, const std::string& device) {
  emulation::EmulatedDevice::Configure(std::move(options));
  auto backend = MakeBackend({.device = device, .page_bytes = 2 * kMiB, .cpu = {}});
  INFO(backend.status().message());
  REQUIRE(backend.ok());
  backend_ = *std::move(backend);
}

CudaFixture::~CudaFixture() {
  zero_ = DeviceBuffer();
  backend_.reset();
  emulation::EmulatedDevice::Heal();
  CHECK(emulation::EmulatedDevice::LivePieces() == 0);
}

void CudaFixture::PrepareSteps() {
  StepLimits limits;
  limits.max_rows = limits.max_entries = 64;
  limits.max_width = limits.hidden = limits.max_ffn_width = 64;
  limits.max_heads = limits.max_experts = 4;
  REQUIRE(backend_->Prepare(limits).ok());
}

DeviceBuffer CudaFixture::Upload(std::span<const float> values) {
  auto buffer = backend_->memory().Allocate(values.size_bytes(), "test values");
  REQUIRE(buffer.ok());
  auto twin = backend_->memory().MakeTwin(buffer->data(), values.size_bytes());
  REQUIRE(twin.ok());
  std::copy(values.begin(), values.end(), twin->As<float>());
  REQUIRE(backend_->memory().Upload(*twin).ok());
  return *std::move(buffer);
}

std::vector<float> CudaFixture::Download(const std::byte* home, size_t count) {
  const size_t bytes = count * sizeof(float);
  auto twin = backend_->memory().MakeTwin(const_cast<std::byte*>(home), bytes);
  REQUIRE(twin.ok());
  REQUIRE(backend_->memory().Download(*twin, bytes).ok());
  return {twin->As<float>(), twin->As<float>() + count};
}

void CudaFixture::CopyRow(const float* from, float* to) {
  if (zero_.data() == nullptr) zero_ = Upload(std::array<float, 4>{});
  backend_->GatherRows({.x = from, .row = zero_.As<int32_t>(), .y = to, .rows = 1, .width = 4});
}

absl::Status Refusal(const emulation::Options& options, const std::string& device) {
  emulation::EmulatedDevice::Configure(options);
  return MakeBackend({.device = device, .page_bytes = 2 * kMiB, .cpu = {}}).status();
}

}  // namespace guildhall
