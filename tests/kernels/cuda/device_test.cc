// Devices that cannot be had are refused in one line that names what was found and what is needed.
#include <catch2/catch.hpp>

#include "kernels/make_backend.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace guildhall {
namespace {

using Catch::Contains;

void CheckRefused(const absl::Status& status, const std::string& found, const std::string& needed) {
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  const std::string text(status.message());
  CHECK_THAT(text, Contains(found) && Contains(needed));
  CHECK(text.find('\n') == std::string::npos);
  CHECK(text.find("0x") == std::string::npos);
}

TEST_CASE("cuda: a machine without a driver, or with one that is older than the runtime") {
  CheckRefused(Refusal({.driver_version = 0}), "no NVIDIA driver", "13.0");
  CheckRefused(Refusal({.driver_version = 12040}), "driver for CUDA 12.4",
               "this build needs 13.0: driver 580 or newer");
}

TEST_CASE("cuda: a driver that shows no device, and an index beyond those that it shows") {
  CheckRefused(Refusal({.devices = {}}), "shows no device", "compute capability 8.0");
  CheckRefused(Refusal({.devices = {{}, {}}}, "cuda:2"), "\"cuda:2\": this machine shows 2 devices",
               "the last is cuda:1");
}

TEST_CASE("cuda: a device that is too old is refused by its name") {
  CheckRefused(Refusal({.devices = {{.major = 7, .minor = 5}}}),
               "emulated device 0 has compute capability 7.5", "8.0");
}

TEST_CASE("cuda: what the runtime says while the device is opened is passed on") {
  for (const char* function : {"cudaSetDevice", "cudaGetDeviceProperties", "cudaStreamCreateWithPriority",
                               "cudaEventCreateWithFlags", "cuMemGetAllocationGranularity"}) {
    INFO(function);
    emulation::EmulatedDevice::Configure({});
    emulation::EmulatedDevice::Fail(function, 1, cudaErrorUnknown);
    const absl::Status status = MakeBackend({.device = "cuda", .page_bytes = 2 * kMiB, .cpu = {}}).status();
    CHECK(status.code() == absl::StatusCode::kInternal);
    CHECK_THAT(std::string(status.message()), Contains("cudaErrorUnknown"));
    CHECK(emulation::EmulatedDevice::LivePieces() == 0);
  }
}

TEST_CASE("cuda: a device says what it is") {
  CudaFixture cuda({.devices = {{.memory_bytes = 64 * kMiB}}});
  CHECK_THAT(cuda->Describe(), Catch::StartsWith("cuda 13.0, emulated device 0, 64.0 MiB, driver "));
  CHECK(cuda->layout() == "cuda/tile64");
  CHECK(cuda->level() == "tile64");
  CHECK(cuda->lanes() == 1);
}

TEST_CASE("cuda: the second device is its own") {
  emulation::EmulatedDevice::Configure({.devices = {{}, {.memory_bytes = 64 * kMiB}}});
  const auto backend = MakeBackend({.device = "cuda:1", .page_bytes = 2 * kMiB, .cpu = {}});
  REQUIRE(backend.ok());
  CHECK_THAT((*backend)->Describe(), Contains("emulated device 1, 64.0 MiB"));
  const auto available = (*backend)->memory().Available();
  REQUIRE(available.ok());
  CHECK(available->bytes <= 64 * kMiB);
  CHECK_THAT(available->source, Contains("cuda:1"));
}

}  // namespace
}  // namespace guildhall
