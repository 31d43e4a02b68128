// Buffers, twins and copies.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <numeric>

#include "kernels/make_backend.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Catch::Contains;
using emulation::EmulatedDevice;

std::vector<float> Ascending(size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

TEST_CASE("cuda memory: what goes up comes down, and a twin is free when its upload returns") {
  CudaFixture cuda;
  const std::vector<float> values = Ascending(1000);
  auto buffer = cuda->memory().Allocate(4000, "values");
  REQUIRE(buffer.ok());
  auto twin = cuda->memory().MakeTwin(buffer->data(), 4000);
  REQUIRE(twin.ok());
  CHECK(reinterpret_cast<uintptr_t>(twin->data()) % 64 == 0);
  std::copy(values.begin(), values.end(), twin->As<float>());
  REQUIRE(cuda->memory().Upload(*twin).ok());
  std::memset(twin->data(), 0, 4000);
  CHECK(cuda.Download(buffer->data(), 1000) == values);
}

TEST_CASE("cuda memory: twins share what is locked, and give it back to each other") {
  CudaFixture cuda;
  EmulatedDevice::Fail("cudaHostAlloc", 2, cudaErrorMemoryAllocation);
  for (int round = 0; round < 3; ++round) {
    std::vector<HostTwin> twins;
    for (int i = 0; i < 8; ++i) {
      auto twin = cuda->memory().MakeTwin(nullptr, kMiB + static_cast<size_t>(round * i));
      REQUIRE(twin.ok());
      std::memset(twin->data(), i, twin->size());
      twins.push_back(*std::move(twin));
    }
    for (int i = 0; i < 8; ++i) {
      const HostTwin& twin = twins[static_cast<size_t>(i)];
      CHECK(std::all_of(twin.data(), twin.data() + twin.size(),
                        [i](std::byte b) { return b == static_cast<std::byte>(i); }));
    }
  }
}

TEST_CASE("cuda memory: a twin that is too large to be locked is uploaded in pieces") {
  CudaFixture cuda({.pinned_bytes = 32 * kMiB});
  const size_t bytes = 130 * kMiB;
  auto buffer = cuda->memory().Allocate(bytes, "a vocabulary");
  REQUIRE(buffer.ok());
  auto twin = cuda->memory().MakeTwin(buffer->data(), bytes);
  REQUIRE(twin.ok());
  std::memset(twin->data(), 0, bytes);
  twin->As<float>()[bytes / 4 - 1] = 7.0f;
  REQUIRE(cuda->memory().Upload(*twin).ok());
  CHECK(cuda.Download(buffer->data() + bytes - 8, 2) == std::vector<float>{0.0f, 7.0f});
}

TEST_CASE("cuda memory: a file's bytes are copied, also where they are no whole pieces") {
  CudaFixture cuda;
  const std::vector<float> values = Ascending(3 * kMiB + 5);
  auto buffer = cuda->memory().Bring(std::as_bytes(std::span(values)), nullptr, "weights");
  REQUIRE(buffer.ok());
  CHECK(cuda.Download(buffer->data(), values.size()) == values);
}

TEST_CASE("cuda memory: what does not fit is refused with what it is, and what is free") {
  CudaFixture cuda({.devices = {{.memory_bytes = 32 * kMiB}}});
  const size_t pieces = EmulatedDevice::LivePieces();
  const auto refused = cuda->memory().Allocate(40 * kMiB, "KV cache");
  CHECK(refused.status().code() == StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(refused.status().message()),
             Contains("KV cache: 40.0 MiB") && Contains(" are free on emulated device 0 (cuda:0)"));
  CHECK(EmulatedDevice::LivePieces() == pieces);
  CHECK(cuda->memory().Allocate(8 * kMiB, "KV cache").ok());
}

TEST_CASE("cuda memory: host memory that cannot be locked is said with what limits it") {
  CudaFixture cuda({.pinned_bytes = 20 * kMiB});
  const auto first = cuda->memory().MakeTwin(nullptr, kMiB);
  REQUIRE(first.ok());
  const auto refused = cuda->memory().MakeTwin(nullptr, 30 * kMiB);
  CHECK(refused.status().code() == StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(refused.status().message()),
             Contains("30.0 MiB") && Contains("16.0 MiB that are") && Contains("ulimit -l"));
}

TEST_CASE("cuda memory: copies that fail are told to who asked, and the next ones go well") {
  CudaFixture cuda;
  const DeviceBuffer buffer = cuda.Upload(Ascending(4));
  auto twin = cuda->memory().MakeTwin(buffer.data(), 16);
  REQUIRE(twin.ok());
  const struct {
    const char* function;
    bool up;
  } cases[] = {{"copy", true},
               {"cudaMemcpyAsync", true},
               {"cudaEventRecord", true},
               {"cudaEventCreateWithFlags", true},
               {"copy", false},
               {"cudaMemcpyAsync", false}};
  for (const auto& fault : cases) {
    INFO(fault.function << " " << fault.up);
    EmulatedDevice::Fail(fault.function, 1, cudaErrorUnknown);
    const absl::Status failed = fault.up ? cuda->memory().Upload(*twin) : cuda->memory().Download(*twin, 16);
    CHECK(failed.code() == StatusCode::kInternal);
    CHECK_THAT(std::string(failed.message()), Contains("cudaErrorUnknown"));
    CHECK(cuda->memory().Upload(*twin).ok());
    CHECK(cuda->memory().Download(*twin, 16).ok());
  }
}

TEST_CASE("cuda memory: what is free becomes less") {
  CudaFixture cuda({.devices = {{.memory_bytes = 64 * kMiB}}});
  const auto before = cuda->memory().Available();
  const auto buffer = cuda->memory().Allocate(10 * kMiB, "weights");
  const auto after = cuda->memory().Available();
  REQUIRE((before.ok() && buffer.ok() && after.ok()));
  CHECK(before->bytes - after->bytes == 10 * kMiB);
}

}  // namespace
}  // namespace guildhall
