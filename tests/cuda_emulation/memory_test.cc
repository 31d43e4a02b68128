// Device memory: whose it is, how much there is, and what touches it.
#include <cuda.h>

#include <cmath>
#include <cstring>

#include "tests/cuda_emulation/test_support.h"

namespace guildhall::emulation {
namespace {

using Catch::Matchers::Contains;

__global__ void Increment(int* place) {
  ++*place;
}

cudaError_t RunIncrement(int* place) {
  const cudaError_t error = cuda::Launch(&Increment, {1, 1}, {}, place);
  return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

TEST_CASE("host code that touches device memory is ended, with the kernel that ran last") {
  const Array<int> number(std::vector<int>{1});
  volatile int* const place = number.data();
  CHECK_THAT(EndOf([&] { (void)*place; }), Contains("host code touched device memory at 0x"));
  CHECK_THAT(EndOf([&] { *place = 1; }), Contains("host code touched device memory"));
  CHECK_THAT(EndOf([&] {
               (void)RunIncrement(number.data());
               (void)*place;
             }),
             Contains("last kernel Increment"));
  CHECK(EndOf([] {}) == "passed");
}

TEST_CASE("a kernel that touches freed memory is ended, and so is a copy") {
  int* place = nullptr;
  REQUIRE(cudaMalloc(&place, sizeof(int)) == cudaSuccess);
  REQUIRE(cudaFree(place) == cudaSuccess);
  CHECK_THAT(EndOf([&] { (void)RunIncrement(place); }),
             Contains("kernel Increment, block (0, 0, 0), thread (0, 0, 0)") &&
                 Contains("touched device memory that is freed"));
  CHECK_THAT(EndOf([&] { (void)cudaMemset(place, 0, 4), (void)cudaDeviceSynchronize(); }),
             Contains("a memset of 4 bytes touches device memory that is freed"));
  CHECK_THAT(EndOf([&] { (void)RunIncrement(reinterpret_cast<int*>(4096)); }),
             Contains("touched no memory at"));
  CHECK(cudaFree(place) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
}

TEST_CASE("fresh memory is full of NaN, and copies check their directions") {
  const Array<float> numbers(3);
  for (const float number : numbers.Read()) CHECK(std::isnan(number));
  float value = 0;
  CHECK(cudaMemcpy(&value, numbers.data(), 4, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(numbers.data(), &value, 4, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(numbers.data(), &value, 4, cudaMemcpyDefault) == cudaSuccess);
  CHECK(numbers.Read()[0] == 0);
}

TEST_CASE("devices have memories of their own sizes, which run out") {
  const FreshDevices devices({.devices = {{.memory_bytes = 4 << 20}, {.memory_bytes = 8 << 20}}});
  int count = 0;
  REQUIRE(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 2);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  for (int device = 0; device < 2; ++device) {
    REQUIRE(cudaSetDevice(device) == cudaSuccess);
    size_t free_bytes = 0, total_bytes = 0;
    REQUIRE(cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess);
    CHECK(total_bytes == size_t{4 << 20} << device);
    CHECK(free_bytes == total_bytes);
    void* memory = nullptr;
    CHECK(cudaMalloc(&memory, total_bytes + 1) == cudaErrorMemoryAllocation);
    CHECK(memory == nullptr);
    CHECK(cudaMalloc(&memory, total_bytes) == cudaSuccess);
    void* more = nullptr;
    CHECK(cudaMalloc(&more, 1) == cudaErrorMemoryAllocation);
    CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
    CHECK(cudaFree(memory) == cudaSuccess);
    CHECK(cudaMalloc(&more, 1) == cudaSuccess);
    CHECK(more != memory);
    CHECK(cudaFree(more) == cudaSuccess);
  }
  CHECK(EmulatedDevice::LivePieces() == 0);
}

TEST_CASE("a device says that it is emulated") {
  cudaDeviceProp properties = {};
  REQUIRE(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(std::string(properties.name) == "emulated device 0");
  CHECK(properties.major == 9);
}

TEST_CASE("the host can lock so much memory") {
  const FreshDevices devices({.pinned_bytes = 1 << 20});
  void* memory = nullptr;
  void* more = nullptr;
  CHECK(cudaHostAlloc(&memory, (1 << 20) + 1, cudaHostAllocDefault) == cudaErrorMemoryAllocation);
  REQUIRE(cudaHostAlloc(&memory, 1 << 20, cudaHostAllocDefault) == cudaSuccess);
  CHECK(cudaHostAlloc(&more, 1, cudaHostAllocDefault) == cudaErrorMemoryAllocation);
  CHECK(EmulatedDevice::LivePieces() == 1);
  CHECK(cudaFreeHost(memory) == cudaSuccess);
  CHECK(cudaFreeHost(memory) == cudaErrorInvalidValue);
}

constexpr size_t kPage = size_t{2} << 20;

CUmemAllocationProp OnDevice(int device) {
  CUmemAllocationProp properties = {};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return properties;
}

CUresult Open(CUdeviceptr address, size_t bytes) {
  const CUmemAccessDesc access = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  return cuMemSetAccess(address, bytes, &access, 1);
}

int* AsInt(CUdeviceptr address) {
  return reinterpret_cast<int*>(static_cast<uintptr_t>(address));
}

TEST_CASE("the driver's addresses, memory and access are three things") {
  const FreshDevices devices({.devices = {{.memory_bytes = 3 * kPage}}});
  const CUmemAllocationProp where = OnDevice(0);
  size_t granularity = 0;
  REQUIRE(cuMemGetAllocationGranularity(&granularity, &where, CU_MEM_ALLOC_GRANULARITY_MINIMUM) ==
          CUDA_SUCCESS);
  CHECK(granularity == kPage);
  CUdeviceptr range = 0;
  CHECK(cuMemAddressReserve(&range, kPage + 1, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemAddressReserve(&range, 100 * kPage, kPage, 0, 0) == CUDA_SUCCESS);
  CHECK(range % kPage == 0);
  CHECK_THAT(EndOf([&] { (void)RunIncrement(AsInt(range)); }),
             Contains("touched device memory that is freed, unmapped or never was"));

  CUmemGenericAllocationHandle first = 0, second = 0, fourth = 0;
  REQUIRE(cuMemCreate(&first, kPage, &where, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemCreate(&second, 2 * kPage, &where, 0) == CUDA_SUCCESS);
  CHECK(cuMemCreate(&fourth, kPage, &where, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  REQUIRE(cuMemMap(range, kPage, 0, first, 0) == CUDA_SUCCESS);
  CHECK(cuMemMap(range + 5 * kPage, kPage, 0, first, 0) == CUDA_ERROR_ALREADY_MAPPED);
  CHECK(cuMemMap(range, 2 * kPage, 0, second, 0) == CUDA_ERROR_ALREADY_MAPPED);
  CHECK_THAT(EndOf([&] { (void)RunIncrement(AsInt(range)); }),
             Contains("touched device memory that no access was set for"));
  REQUIRE(cuMemMap(range + kPage, 2 * kPage, 0, second, 0) == CUDA_SUCCESS);
  CHECK(Open(range, 4 * kPage) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(Open(range, 3 * kPage) == CUDA_SUCCESS);

  REQUIRE(cudaMemset(AsInt(range + 2 * kPage - 8), 0, 16) == cudaSuccess);
  REQUIRE(RunIncrement(AsInt(range + 2 * kPage)) == cudaSuccess);
  int result = 0;
  REQUIRE(cudaMemcpy(&result, AsInt(range + 2 * kPage), 4, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(result == 1);

  // Memory that is released stays until it is unmapped, and its addresses until they are given back.
  REQUIRE(cuMemRelease(second) == CUDA_SUCCESS);
  CHECK(cuMemCreate(&fourth, kPage, &where, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  CHECK(cuMemUnmap(range, 2 * kPage) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemAddressFree(range, 100 * kPage) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemUnmap(range, 3 * kPage) == CUDA_SUCCESS);
  CHECK_THAT(EndOf([&] { (void)RunIncrement(AsInt(range)); }), Contains("freed, unmapped or never was"));
  REQUIRE(cuMemCreate(&fourth, 2 * kPage, &where, 0) == CUDA_SUCCESS);
  // The first one was not released: it can be mapped again.
  REQUIRE(cuMemMap(range + 7 * kPage, kPage, 0, first, 0) == CUDA_SUCCESS);
  REQUIRE(cuMemUnmap(range + 7 * kPage, kPage) == CUDA_SUCCESS);
  CHECK(EmulatedDevice::LivePieces() == 3);
  REQUIRE(cuMemRelease(first) == CUDA_SUCCESS);
  REQUIRE(cuMemRelease(fourth) == CUDA_SUCCESS);
  REQUIRE(cuMemAddressFree(range, 100 * kPage) == CUDA_SUCCESS);
  CHECK(EmulatedDevice::LivePieces() == 0);
}

TEST_CASE("pages are mapped and unmapped while work is on its way elsewhere") {
  const FreshDevices devices;
  const Array<int> number(std::vector<int>{0});
  const CUmemAllocationProp where = OnDevice(0);
  CUdeviceptr range = 0;
  REQUIRE(cuMemAddressReserve(&range, kPage, kPage, 0, 0) == CUDA_SUCCESS);
  for (int i = 0; i < 3; ++i) {
    REQUIRE(cuda::Launch(&Increment, {1, 1}, {}, number.data()) == cudaSuccess);
    CUmemGenericAllocationHandle page = 0;
    REQUIRE(cuMemCreate(&page, kPage, &where, 0) == CUDA_SUCCESS);
    REQUIRE(cuMemMap(range, kPage, 0, page, 0) == CUDA_SUCCESS);
    REQUIRE(Open(range, kPage) == CUDA_SUCCESS);
    REQUIRE(cuMemRelease(page) == CUDA_SUCCESS);
    REQUIRE(cuMemUnmap(range, kPage) == CUDA_SUCCESS);
  }
  CHECK(number.Read() == std::vector<int>{3});
}

TEST_CASE("the driver's functions are found by name") {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult status = cudaDriverEntryPointSymbolNotFound;
  REQUIRE(cudaGetDriverEntryPointByVersion("cuMemCreate", &function, 12000, cudaEnableDefault, &status) ==
          cudaSuccess);
  CHECK(status == cudaDriverEntryPointSuccess);
  CHECK(function == reinterpret_cast<void*>(&cuMemCreate));
  REQUIRE(cudaGetDriverEntryPointByVersion("cuNothing", &function, 12000, cudaEnableDefault, &status) ==
          cudaSuccess);
  CHECK(status == cudaDriverEntryPointSymbolNotFound);
  CHECK(function == nullptr);
}

}  // namespace
}  // namespace guildhall::emulation
