// Devices that cannot be had are refused in one line that names what was found and what is needed.
#include <array>
#include <catch2/catch.hpp>
#include <functional>
#include <thread>

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

TEST_CASE("cuda: the second device is its own, on every thread") {
  CudaFixture cuda({.devices = {{}, {.memory_bytes = 64 * kMiB}}}, "cuda:1");
  CHECK_THAT(cuda->Describe(), Contains("emulated device 1, 64.0 MiB"));
  CHECK_THAT(cuda->memory().Available()->source, Contains("cuda:1"));
  // A new thread's current device is the first one.
  const auto on_new_thread = [](const std::function<void()>& work) { std::jthread(work).join(); };
  PageMemory& pages = cuda->memory().pages();
  std::byte* begin = nullptr;
  DeviceBuffer from, to;
  on_new_thread([&] { cuda.PrepareSteps(); });
  on_new_thread([&] { begin = pages.Reserve(2 * kMiB).value(); });
  on_new_thread([&] { REQUIRE(pages.Map(begin, 2 * kMiB).ok()); });
  on_new_thread([&] { from = cuda.Upload(std::array<float, 4>{1, 2, 3, 4}); });
  on_new_thread([&] { to = cuda.Upload(std::array<float, 4>{}); });
  const auto step_once = [&] {
    const std::array<int32_t, 1> zero = {};
    const std::array<int64_t, 1> place = {};
    const StepData& step = cuda->BeginStep({.tokens = zero,
                                            .positions = zero,
                                            .sequence = zero,
                                            .kv_place = place,
                                            .set = {},
                                            .block_table = zero,
                                            .max_blocks = 1,
                                            .logit_rows = {}});
    cuda->GatherRows({.x = from.As<float>(), .row = step.tokens, .y = to.As<float>(), .rows = 1, .width = 4});
    REQUIRE(cuda->Finish().ok());
  };
  // The first one takes memory for its arrays, the second one has it.
  on_new_thread(step_once);
  on_new_thread(step_once);
  on_new_thread([&] { CHECK(cuda.Download(to.data(), 4) == std::vector<float>{1, 2, 3, 4}); });
  on_new_thread([&] { pages.Unmap(begin, 2 * kMiB); });
  pages.Unreserve(begin, 2 * kMiB);
}

}  // namespace
}  // namespace guildhall
