// Pages that the driver maps, and whole allocations where it cannot.
#include <array>
#include <catch2/catch.hpp>

#include <cuda.h>

#include "kernels/make_backend.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Catch::Contains;
using emulation::EmulatedDevice;

constexpr size_t kPage = 2 * kMiB;

// Four floats at `home` through a twin.
void Write(Backend& backend, std::byte* home, float first) {
  auto twin = backend.memory().MakeTwin(home, 16);
  REQUIRE(twin.ok());
  for (int i = 0; i < 4; ++i) twin->As<float>()[i] = first + static_cast<float>(i);
  REQUIRE(backend.memory().Upload(*twin).ok());
}

TEST_CASE("cuda pages: mapped in runs, given back, and mapped again") {
  const bool whole = GENERATE(false, true);
  INFO(whole);
  emulation::Options options;
  if (whole) options.devices[0].page_bytes = 0;  // no such memory
  CudaFixture cuda(options);
  PageMemory& pages = cuda->memory().pages();
  CHECK(pages.page_bytes() == kPage);
  std::byte* const begin = pages.Reserve(8 * kPage).value();
  for (int round = 0; round < 2; ++round) {
    REQUIRE(pages.Map(begin, 2 * kPage).ok());
    REQUIRE(pages.Map(begin + 4 * kPage, kPage).ok());
    REQUIRE(pages.Map(begin + 2 * kPage, 2 * kPage).ok());
    // One stretch, whatever it was mapped by.
    Write(*cuda, begin + 2 * kPage - 8, 1.0f);
    Write(*cuda, begin + 4 * kPage - 8, 5.0f);
    CHECK(cuda.Download(begin + 2 * kPage - 8, 4) == std::vector<float>{1, 2, 3, 4});
    CHECK(cuda.Download(begin + 4 * kPage - 8, 4) == std::vector<float>{5, 6, 7, 8});
    pages.Unmap(begin, 3 * kPage);
    pages.Unmap(begin + 3 * kPage, 2 * kPage);
  }
  pages.Unreserve(begin, 8 * kPage);
}

TEST_CASE("cuda pages: their memory is charged while they are mapped, but for a few that are kept") {
  CudaFixture cuda({.devices = {{.memory_bytes = 256 * kMiB}}});
  PageMemory& pages = cuda->memory().pages();
  const uint64_t before = cuda->memory().Available()->bytes;
  std::byte* const begin = pages.Reserve(128 * kPage).value();
  CHECK(cuda->memory().Available()->bytes == before);
  REQUIRE(pages.Map(begin, 100 * kPage).ok());
  CHECK(before - cuda->memory().Available()->bytes == 100 * kPage);
  pages.Unmap(begin, 100 * kPage);
  CHECK(before - cuda->memory().Available()->bytes <= 16 * kPage);
  pages.Unreserve(begin, 128 * kPage);
}

TEST_CASE("cuda pages: a page that was given back is mapped again without the driver making one") {
  CudaFixture cuda;
  PageMemory& pages = cuda->memory().pages();
  std::byte* const begin = pages.Reserve(4 * kPage).value();
  REQUIRE(pages.Map(begin, 2 * kPage).ok());
  pages.Unmap(begin, 2 * kPage);
  EmulatedDevice::Fail("cuMemCreate", 1, CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(pages.Map(begin + kPage, 2 * kPage).ok());
  pages.Unmap(begin + kPage, 2 * kPage);
  pages.Unreserve(begin, 4 * kPage);
}

TEST_CASE("cuda pages: a mapping that fails half way leaves nothing") {
  CudaFixture cuda({.devices = {{.memory_bytes = 64 * kMiB}}});
  PageMemory& pages = cuda->memory().pages();
  std::byte* const begin = pages.Reserve(64 * kPage).value();
  const absl::Status full = pages.Map(begin, 40 * kPage);
  CHECK(full.code() == StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(full.message()), Contains("cannot map 80.0 MiB of device memory"));
  for (const char* function : {"cuMemMap", "cuMemSetAccess"}) {
    INFO(function);
    EmulatedDevice::Fail(function, 1, CUDA_ERROR_UNKNOWN);
    CHECK(pages.Map(begin, 3 * kPage).code() == StatusCode::kResourceExhausted);
    CHECK(pages.Map(begin, 3 * kPage).ok());
    pages.Unmap(begin, 3 * kPage);
  }
  EmulatedDevice::Fail("cuMemAddressReserve", 1, CUDA_ERROR_OUT_OF_MEMORY);
  const auto refused = pages.Reserve(kPage);
  CHECK(refused.status().code() == StatusCode::kResourceExhausted);
  CHECK_THAT(std::string(refused.status().message()), Contains("cannot reserve addresses"));
  pages.Unreserve(begin, 64 * kPage);
}

TEST_CASE("cuda pages: what a step may still read is unmapped when the step has read it") {
  CudaFixture cuda;
  cuda.PrepareSteps();
  PageMemory& pages = cuda->memory().pages();
  std::byte* const begin = pages.Reserve(kPage).value();
  REQUIRE(pages.Map(begin, kPage).ok());
  Write(*cuda, begin, 3.0f);
  const DeviceBuffer to = cuda.Upload(std::array<float, 4>{});
  cuda.CopyRow(reinterpret_cast<const float*>(begin), to.As<float>());
  pages.Unmap(begin, kPage);
  REQUIRE(cuda->Finish().ok());
  CHECK(cuda.Download(to.data(), 4) == std::vector<float>{3, 4, 5, 6});
  pages.Unreserve(begin, kPage);
}

TEST_CASE("cuda pages: a size that the device cannot map is rounded up to one that it can") {
  emulation::EmulatedDevice::Configure({});
  for (const auto& [asked, got] : {std::pair(kMiB, kPage), std::pair(5 * kMiB, 3 * kPage)}) {
    const auto backend = MakeBackend({.device = "cuda", .page_bytes = asked, .cpu = {}});
    REQUIRE(backend.ok());
    PageMemory& pages = (*backend)->memory().pages();
    CHECK(pages.page_bytes() == got);
    std::byte* const begin = pages.Reserve(2 * got).value();
    REQUIRE(pages.Map(begin + got, got).ok());
    Write(**backend, begin + 2 * got - 16, 1.0f);
    pages.Unmap(begin + got, got);
    pages.Unreserve(begin, 2 * got);
  }
}

TEST_CASE("cuda pages: a driver without the functions serves whole allocations") {
  EmulatedDevice::Configure({});
  for (int missing : {1, 4, 11}) {
    INFO(missing);
    EmulatedDevice::Fail("cudaGetDriverEntryPointByVersion", missing, cudaErrorSymbolNotFound);
    const auto backend = MakeBackend({.device = "cuda", .page_bytes = kMiB, .cpu = {}});
    REQUIRE(backend.ok());
    PageMemory& pages = (*backend)->memory().pages();
    std::byte* const begin = pages.Reserve(2 * kMiB).value();
    REQUIRE(pages.Map(begin, kMiB).ok());
    Write(**backend, begin, 1.0f);
    pages.Unmap(begin, kMiB);
    pages.Unreserve(begin, 2 * kMiB);
  }
}

}  // namespace
}  // namespace guildhall
