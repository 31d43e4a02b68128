// When things happen: late, in the order of streams and events.
#include <thread>

#include "tests/cuda_emulation/test_support.h"

namespace guildhall::emulation {
namespace {

__global__ void Set(int* place, int value) {
  *place = value;
}
__global__ void Append(int* list, int value) {
  list[atomicAdd(list, 1) + 1] = value;
}
__global__ void CopyInt(int* to, const int* from) {
  *to = *from;
}

struct Stream {
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    REQUIRE(cudaStreamCreateWithFlags(&handle, flags) == cudaSuccess);
  }
  ~Stream() { (void)cudaStreamDestroy(handle); }
  cudaStream_t handle = nullptr;
};
struct Event {
  Event() { REQUIRE(cudaEventCreate(&handle) == cudaSuccess); }
  ~Event() { (void)cudaEventDestroy(handle); }
  cudaEvent_t handle = nullptr;
};
// An int that the device copies to and from by itself.
struct Pinned {
  explicit Pinned(int value) {
    REQUIRE(cudaMallocHost(&place, sizeof(int)) == cudaSuccess);
    *place = value;
  }
  ~Pinned() { (void)cudaFreeHost(place); }
  int* place = nullptr;
};

constexpr auto kDown = cudaMemcpyDeviceToHost;
constexpr auto kUp = cudaMemcpyHostToDevice;

TEST_CASE("a kernel's result is on its way until somebody waits for it") {
  const Stream stream;
  const Array<int> number(std::vector<int>{1});
  const Pinned result(0);
  REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = stream.handle}, number.data(), 2) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(result.place, number.data(), sizeof(int), kDown, stream.handle) == cudaSuccess);
  CHECK(*result.place == 0);
  CHECK(cudaStreamQuery(stream.handle) == cudaErrorNotReady);
  CHECK(*result.place == 0);
  CHECK(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(*result.place == 2);
  CHECK(cudaStreamQuery(stream.handle) == cudaSuccess);
}

TEST_CASE("who asks again and again is told in the end that all is done") {
  const Stream stream;
  const Array<int> number(1);
  for (int i = 0; i < 5; ++i) {
    REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = stream.handle}, number.data(), i) == cudaSuccess);
  }
  int asked = 1;
  while (cudaStreamQuery(stream.handle) == cudaErrorNotReady) ++asked;
  CHECK(asked == 6);
  CHECK(number.Read() == std::vector<int>{4});
}

TEST_CASE("pinned memory is read when the copy happens, pageable memory when it is asked for") {
  const Stream stream;
  const Array<int> from_pinned(1), from_pageable(1);
  const Pinned pinned(1);
  int pageable = 1;
  REQUIRE(cudaMemcpyAsync(from_pinned.data(), pinned.place, sizeof(int), kUp, stream.handle) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(from_pageable.data(), &pageable, sizeof(int), kUp, stream.handle) == cudaSuccess);
  *pinned.place = pageable = 2;
  REQUIRE(cudaStreamSynchronize(stream.handle) == cudaSuccess);
  CHECK(from_pinned.Read() == std::vector<int>{2});
  CHECK(from_pageable.Read() == std::vector<int>{1});
}

TEST_CASE("a copy to pageable memory is there when the call returns") {
  const Stream stream;
  const Array<int> number(1);
  int result = 0;
  REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = stream.handle}, number.data(), 7) == cudaSuccess);
  REQUIRE(cudaMemcpyAsync(&result, number.data(), sizeof(int), kDown, stream.handle) == cudaSuccess);
  CHECK(result == 7);
}

TEST_CASE("a stream that does not wait for another's event runs before it, one that waits behind it") {
  const Array<int> number(std::vector<int>{0}), unordered(1), ordered(1);
  const Stream writer, careless, careful;
  const Event written;
  REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = writer.handle}, number.data(), 5) == cudaSuccess);
  REQUIRE(cudaEventRecord(written.handle, writer.handle) == cudaSuccess);
  REQUIRE(cuda::Launch(&CopyInt, {1, 1}, {.stream = careless.handle}, unordered.data(), number.data()) ==
          cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(careful.handle, written.handle) == cudaSuccess);
  REQUIRE(cuda::Launch(&CopyInt, {1, 1}, {.stream = careful.handle}, ordered.data(), number.data()) ==
          cudaSuccess);
  REQUIRE(cudaStreamSynchronize(careless.handle) == cudaSuccess);
  CHECK(cudaEventQuery(written.handle) == cudaErrorNotReady);
  REQUIRE(cudaStreamSynchronize(careful.handle) == cudaSuccess);
  CHECK(unordered.Read() == std::vector<int>{0});
  CHECK(ordered.Read() == std::vector<int>{5});
}

TEST_CASE("an event stands for its last record, and waiting for it runs nothing that comes later") {
  const Array<int> number(std::vector<int>{0});
  const Stream stream;
  const Event event;
  CHECK(cudaEventQuery(event.handle) == cudaSuccess);
  CHECK(cudaEventSynchronize(event.handle) == cudaSuccess);
  for (int i = 1; i <= 2; ++i) {
    REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = stream.handle}, number.data(), i) == cudaSuccess);
    REQUIRE(cudaEventRecord(event.handle, stream.handle) == cudaSuccess);
  }
  REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = stream.handle}, number.data(), 3) == cudaSuccess);
  REQUIRE(cudaEventSynchronize(event.handle) == cudaSuccess);
  CHECK(number.Read() == std::vector<int>{2});
}

TEST_CASE("the default stream waits for streams that block, and they for it") {
  const Array<int> list(std::vector<int>{0, 0, 0, 0, 0});
  const Stream blocking(cudaStreamDefault), free;
  REQUIRE(cuda::Launch(&Append, {1, 1}, {.stream = blocking.handle}, list.data(), 1) == cudaSuccess);
  REQUIRE(cuda::Launch(&Append, {1, 1}, {.stream = free.handle}, list.data(), 2) == cudaSuccess);
  REQUIRE(cuda::Launch(&Append, {1, 1}, {}, list.data(), 3) == cudaSuccess);
  REQUIRE(cuda::Launch(&Append, {1, 1}, {.stream = blocking.handle}, list.data(), 4) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(blocking.handle) == cudaSuccess);
  CHECK(list.Read() == std::vector<int>{3, 1, 3, 4, 0});
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(list.Read() == std::vector<int>{4, 1, 3, 4, 2});
}

TEST_CASE("time between events is known when both are reached, unless they were made without it") {
  const Event begin, end;
  float milliseconds = -1;
  REQUIRE(cudaEventRecord(begin.handle) == cudaSuccess);
  REQUIRE(cudaEventRecord(end.handle) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin.handle, end.handle) == cudaErrorNotReady);
  REQUIRE(cudaEventSynchronize(end.handle) == cudaSuccess);
  REQUIRE(cudaEventElapsedTime(&milliseconds, begin.handle, end.handle) == cudaSuccess);
  CHECK(milliseconds >= 0);
  cudaEvent_t untimed = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, begin.handle, untimed) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(untimed) == cudaSuccess);
}

TEST_CASE("a thread loads while another one steps") {
  const Array<int> loaded(1);
  const Stream loads, steps;
  constexpr int kTimes = 50;
  int wrong = 0;
  std::thread loader([&] {
    for (int i = 0; i < kTimes; ++i) {
      int* fresh = nullptr;
      int result = -1;
      if (cudaMalloc(&fresh, sizeof(int)) != cudaSuccess) ++wrong;
      (void)cudaMemcpyAsync(fresh, &i, sizeof(int), kUp, loads.handle);
      (void)cudaMemcpyAsync(&result, fresh, sizeof(int), kDown, loads.handle);
      if (result != i || cudaFree(fresh) != cudaSuccess) ++wrong;
    }
  });
  for (int i = 0; i < kTimes; ++i) {
    REQUIRE(cuda::Launch(&Set, {1, 1}, {.stream = steps.handle}, loaded.data(), i) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(steps.handle) == cudaSuccess);
  }
  loader.join();
  CHECK(wrong == 0);
  CHECK(loaded.Read() == std::vector<int>{kTimes - 1});
}

TEST_CASE("streams belong to a device: launches need the current one's") {
  const FreshDevices devices({.devices = {{}, {}}});
  const Stream of_first;
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  const Array<int> number(1);
  CHECK(cuda::Launch(&Set, {1, 1}, {.stream = of_first.handle}, number.data(), 1) ==
        cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamSynchronize(of_first.handle) == cudaSuccess);
  // An event orders streams of different devices, too.
  const Event event;
  REQUIRE(cuda::Launch(&Set, {1, 1}, {}, number.data(), 9) == cudaSuccess);
  REQUIRE(cudaEventRecord(event.handle) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(of_first.handle, event.handle) == cudaSuccess);
  const Pinned result(0);
  REQUIRE(cudaMemcpyAsync(result.place, number.data(), sizeof(int), kDown, of_first.handle) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(of_first.handle) == cudaSuccess);
  CHECK(*result.place == 9);
}

}  // namespace
}  // namespace guildhall::emulation
