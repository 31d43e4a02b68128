// What fails on the device comes out of Finish: once, by name, and told apart from a device that is lost.
#include <array>
#include <catch2/catch.hpp>

#include "kernels/op_profile.h"
#include "tests/kernels/cuda/cuda_fixture.h"

namespace guildhall {
namespace {

using absl::StatusCode;
using Catch::Contains;
using emulation::EmulatedDevice;

// A back end with an op to run.
struct Steps {
  Steps() { cuda.PrepareSteps(); }
  void Run(int times = 1) {
    for (int i = 0; i < times; ++i) cuda.CopyRow(from.As<float>(), to.As<float>());
  }
  absl::Status Finish() { return cuda->Finish(); }

  CudaFixture cuda;
  DeviceBuffer from = cuda.Upload(std::array<float, 4>{1, 2, 3, 4});
  DeviceBuffer to = cuda.Upload(std::array<float, 4>{});
};

void CheckText(const absl::Status& status, const std::string& where, const std::string& error) {
  const std::string text(status.message());
  CHECK_THAT(text, Contains(where) && Contains(error));
  CHECK(text.find("0x") == std::string::npos);
}

TEST_CASE(
    "cuda failure: a launch that is refused ends its step with the op's name, and the next one goes well") {
  Steps steps;
  steps.Run();
  REQUIRE(steps.Finish().ok());
  EmulatedDevice::TakeCounts();
  EmulatedDevice::Fail("cudaLaunchKernelEx", 2, cudaErrorLaunchOutOfResources);
  steps.Run(4);
  const absl::Status failed = steps.Finish();
  CHECK(failed.code() == StatusCode::kInternal);
  CheckText(failed, "gather_rows", "cudaErrorLaunchOutOfResources");
  CHECK(cudaPeekAtLastError() == cudaSuccess);
  // Nothing was enqueued behind what failed.
  const auto counts = EmulatedDevice::TakeCounts();
  REQUIRE(counts.kernels.size() == 1);
  CHECK(counts.kernels.begin()->second.launches == 1);
  steps.Run();
  CHECK(steps.Finish().ok());
  CHECK(steps.cuda.Download(steps.to.data(), 4) == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("cuda failure: what fails while it is executed is told when the step is awaited, once") {
  Steps steps;
  steps.Run();
  REQUIRE(steps.Finish().ok());
  EmulatedDevice::Fail("kernel", 1, cudaErrorUnknown);
  steps.Run();
  const absl::Status failed = steps.Finish();
  CHECK(failed.code() == StatusCode::kInternal);
  CheckText(failed, "a step's end", "cudaErrorUnknown");
  CHECK(steps.Finish().ok());
}

TEST_CASE("cuda failure: an error that stays means that the device is lost, for every later step") {
  Steps steps;
  steps.Run();
  REQUIRE(steps.Finish().ok());
  EmulatedDevice::Fail("kernel", 1, cudaErrorIllegalAddress, /*sticky=*/true);
  steps.Run();
  for (int i = 0; i < 3; ++i) {
    const absl::Status lost = steps.Finish();
    CHECK(lost.code() == StatusCode::kUnavailable);
    CheckText(lost, "the device is lost", "cudaErrorIllegalAddress");
    steps.Run();
  }
  // Loads are told, too, and the end of the process is no crash.
  CHECK_FALSE(steps.cuda->memory().Allocate(16, "weights").ok());
  EmulatedDevice::Heal();
}

TEST_CASE("cuda failure: an op that is observed is named though others have been enqueued before") {
  Steps steps;
  OpProfile profile(*steps.cuda);
  profile.Start();
  steps.Run(2);
  REQUIRE(steps.Finish().ok());
  for (const ProfileEntry& entry : profile.profile().entries()) {
    const bool ran = entry.name == "gather_rows";
    CHECK(entry.calls == (ran ? 2 : 0));
    CHECK(entry.bytes == (ran ? 64.0 : 0.0));
    CHECK(entry.busy_ns == entry.ns);
  }
  EmulatedDevice::Fail("kernel", 1, cudaErrorUnknown);
  steps.Run();
  CheckText(steps.Finish(), "gather_rows", "cudaErrorUnknown");
}

}  // namespace
}  // namespace guildhall
