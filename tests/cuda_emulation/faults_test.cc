// Calls that are told to fail, and machines that have no device.
#include <cuda.h>

#include <cstdlib>

#include "tests/cuda_emulation/test_support.h"

namespace guildhall::emulation {
namespace {

__global__ void Set(int* place, int value) {
  *place = value;
}

TEST_CASE("the nth call fails, once, and does nothing") {
  const FreshDevices devices;
  EmulatedDevice::Fail("cudaMalloc", 2, cudaErrorMemoryAllocation);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 64) == cudaSuccess);
  void* second = nullptr;
  CHECK(cudaMalloc(&second, 64) == cudaErrorMemoryAllocation);
  CHECK(second == nullptr);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaMalloc(&second, 64) == cudaSuccess);
  EmulatedDevice::Fail("cuMemAddressReserve", 1, CUDA_ERROR_OUT_OF_MEMORY);
  CUdeviceptr range = 0;
  CHECK(cuMemAddressReserve(&range, 2 << 20, 0, 0, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemAddressReserve(&range, 2 << 20, 0, 0, 0) == CUDA_SUCCESS);
}

TEST_CASE("an error that sticks is what every later call returns") {
  const FreshDevices devices;
  EmulatedDevice::Fail("cudaStreamSynchronize", 1, cudaErrorIllegalAddress, /*sticky=*/true);
  CHECK(cudaStreamSynchronize(nullptr) == cudaErrorIllegalAddress);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 64) == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress);
  size_t free_bytes = 0, total_bytes = 0;
  CHECK(cuMemGetInfo(&free_bytes, &total_bytes) == CUDA_ERROR_ILLEGAL_ADDRESS);
  EmulatedDevice::Heal();
  CHECK(cudaMalloc(&memory, 64) == cudaSuccess);
}

TEST_CASE("a kernel or a copy that fails is told to whoever waits") {
  const FreshDevices devices;
  const Array<int> number(std::vector<int>{1});
  SECTION("once") {
    EmulatedDevice::Fail("kernel", 1, cudaErrorLaunchFailure);
    CHECK(cuda::Launch(&Set, {1, 1}, {}, number.data(), 2) == cudaSuccess);
    CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
    CHECK(number.Read() == std::vector<int>{1});
  }
  SECTION("of one name, stickily") {
    EmulatedDevice::Fail("Set", 2, cudaErrorIllegalAddress, /*sticky=*/true);
    for (int i = 2; i < 5; ++i) {
      CHECK(cuda::Launch(&Set, {1, 1}, {}, number.data(), i) == cudaSuccess);
    }
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    CHECK(cuda::Launch(&Set, {1, 1}, {}, number.data(), 5) == cudaErrorIllegalAddress);
    EmulatedDevice::Heal();
    CHECK(number.Read() == std::vector<int>{2});
  }
  SECTION("a copy") {
    EmulatedDevice::Fail("copy", 1, cudaErrorUnknown);
    int result = 7;
    CHECK(cudaMemcpy(&result, number.data(), sizeof(int), cudaMemcpyDeviceToHost) == cudaErrorUnknown);
    CHECK(result == 7);
  }
}

TEST_CASE("without a driver, with an old one, and without a device, calls say so") {
  int count = -1, version = -1;
  {
    const FreshDevices devices({.driver_version = 0});
    CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
    CHECK(version == 0);
    CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
    CHECK(count == 0);
  }
  {
    const FreshDevices devices({.driver_version = 12040});
    CHECK(cudaSetDevice(0) == cudaErrorInsufficientDriver);
    CHECK(std::string(cudaGetErrorName(cudaErrorInsufficientDriver)) == "cudaErrorInsufficientDriver");
  }
  const FreshDevices devices({.devices = {}});
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
}

TEST_CASE("the environment says what a process begins with") {
  setenv("EMULATED_CUDA_DEVICES", "3", 1);
  setenv("EMULATED_CUDA_MEMORY", "1000000", 1);
  setenv("EMULATED_CUDA_CAPABILITY", "8.6", 1);
  setenv("EMULATED_CUDA_ORDER", "backward", 1);
  const Options options = OptionsOfEnvironment();
  for (const char* name : {"DEVICES", "MEMORY", "CAPABILITY", "ORDER"}) {
    unsetenv(("EMULATED_CUDA_" + std::string(name)).c_str());
  }
  REQUIRE(options.devices.size() == 3);
  CHECK(options.devices[2].memory_bytes == 1000000);
  CHECK(options.devices[2].major == 8);
  CHECK(options.devices[2].minor == 6);
  CHECK(options.order == Order::kBackward);
  CHECK(options.driver_version == 13000);
}

}  // namespace
}  // namespace guildhall::emulation
