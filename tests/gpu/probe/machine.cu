// What the device is; how fast bytes move; what a launch costs.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/gpu/probe/device_array.h"
#include "tests/gpu/probe/questions.h"

namespace guildhall::probe {
namespace {

constexpr size_t kCopyBytes = size_t{256} << 20;
constexpr size_t kStreamBytes = size_t{2} << 30;  // far beyond any L2

double Microseconds(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

__global__ void Nothing() {}

// Words are read with 16-byte loads; what comes of them is used, so that none is left out.
__global__ void ReadAll(const uint4* words, size_t count, uint32_t* sink) {
  uint32_t mixed = 0;
  const size_t step = size_t{gridDim.x} * blockDim.x;
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) {
    const uint4 word = words[i];
    mixed ^= word.x ^ word.y ^ word.z ^ word.w;
  }
  if (mixed == 0x12345678u) *sink = mixed;
}

int Attribute(cudaDeviceAttr attribute) {
  int value = 0;
  Check(cudaDeviceGetAttribute(&value, attribute, 0), "attribute");
  return value;
}

void HostCopies(const char* kind, void* host, DeviceArray<std::byte>& device) {
  const double gigabytes = static_cast<double>(kCopyBytes) / 1e9;
  const double up = Milliseconds(3, [&] {
    Check(cudaMemcpyAsync(device.get(), host, kCopyBytes, cudaMemcpyHostToDevice, nullptr), "upload");
  });
  const double down = Milliseconds(3, [&] {
    Check(cudaMemcpyAsync(host, device.get(), kCopyBytes, cudaMemcpyDeviceToHost, nullptr), "download");
  });
  Fact(std::string("upload, ") + kind, gigabytes / (up / 1e3), "GB/s");
  Fact(std::string("download, ") + kind, gigabytes / (down / 1e3), "GB/s");
}

}  // namespace

void AskDevice() {
  int driver = 0, runtime = 0;
  size_t free_bytes = 0, total_bytes = 0;
  Check(cudaDriverGetVersion(&driver), "driver version");
  Check(cudaRuntimeGetVersion(&runtime), "runtime version");
  Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
  std::string line;
  std::ifstream file("/proc/driver/nvidia/version");
  if (std::getline(file, line)) Fact("kernel module", line);
  Fact("driver interface", driver, "");
  Fact("runtime", runtime, "");
  Fact("compute capability",
       Attribute(cudaDevAttrComputeCapabilityMajor) + 0.1 * Attribute(cudaDevAttrComputeCapabilityMinor), "");
  Fact("multiprocessors", Attribute(cudaDevAttrMultiProcessorCount), "");
  Fact("memory, total", static_cast<double>(total_bytes), "B");
  Fact("memory, free", static_cast<double>(free_bytes), "B");
  Fact("L2", Attribute(cudaDevAttrL2CacheSize), "B");
  Fact("shared memory of a block, at most", Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin), "B");
  Fact("shared memory of a multiprocessor", Attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor), "B");
  Fact("registers of a multiprocessor", Attribute(cudaDevAttrMaxRegistersPerMultiprocessor), "");
  Fact("clock, at most", Attribute(cudaDevAttrClockRate) / 1e3, "MHz");
  Fact("memory clock, at most", Attribute(cudaDevAttrMemoryClockRate) / 1e3, "MHz");
}

void AskCopies() {
  std::vector<std::byte> pageable(kCopyBytes, std::byte{1});
  DeviceArray<std::byte> device(kCopyBytes);
  void* pinned = nullptr;
  Fact("pinning 256 MiB", Microseconds([&] {
                            Check(cudaHostAlloc(&pinned, kCopyBytes, cudaHostAllocDefault), "cudaHostAlloc");
                          }) / 1e3,
       "ms");
  std::memset(pinned, 1, kCopyBytes);
  HostCopies("pinned", pinned, device);
  HostCopies("pageable", pageable.data(), device);
  (void)cudaFreeHost(pinned);

  DeviceArray<std::byte> from(kStreamBytes), to(kStreamBytes);
  Check(cudaMemset(from.get(), 3, kStreamBytes), "memset");
  const double copy = Milliseconds(5, [&] {
    Check(cudaMemcpyAsync(to.get(), from.get(), kStreamBytes, cudaMemcpyDeviceToDevice, nullptr), "copy");
  });
  Fact("copy on the device, read and written", 2.0 * kStreamBytes / 1e6 / copy, "GB/s");
  DeviceArray<uint32_t> sink(1);
  const unsigned blocks = static_cast<unsigned>(Attribute(cudaDevAttrMultiProcessorCount)) * 8;
  const double read = Milliseconds(5, [&] {
    ReadAll<<<blocks, 256>>>(reinterpret_cast<const uint4*>(from.get()), kStreamBytes / 16, sink.get());
  });
  Fact("read on the device", 1.0 * kStreamBytes / 1e6 / read, "GB/s");
}

void AskLaunches() {
  constexpr int kLaunches = 2000, kNodes = 200;
  Fact("first launch of a kernel", Microseconds([] {
         Nothing<<<1, 32>>>();
         Check(cudaDeviceSynchronize(), "launch");
       }),
       "us");
  Fact("launch, one of many", Microseconds([] {
                                for (int i = 0; i < kLaunches; ++i) Nothing<<<1, 32>>>();
                                Check(cudaDeviceSynchronize(), "launch");
                              }) / kLaunches,
       "us");
  Fact("launch and wait", Microseconds([] {
                            for (int i = 0; i < 200; ++i) {
                              Nothing<<<1, 32>>>();
                              Check(cudaDeviceSynchronize(), "launch");
                            }
                          }) / 200,
       "us");

  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  Fact("graph of 200 nodes, capture and instantiate", Microseconds([&] {
         Check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capture");
         for (int i = 0; i < kNodes; ++i) Nothing<<<1, 32, 0, stream>>>();
         Check(cudaStreamEndCapture(stream, &graph), "capture");
         Check(cudaGraphInstantiate(&ready, graph, 0), "instantiate");
       }),
       "us");
  const auto run = [&] {
    Check(cudaGraphLaunch(ready, stream), "graph");
    Check(cudaStreamSynchronize(stream), "graph");
  };
  run();
  Fact("graph, launch and wait, per node",
       Microseconds([&] {
         for (int i = 0; i < 20; ++i) run();
       }) / 20 /
           kNodes,
       "us");
  (void)cudaGraphExecDestroy(ready);
  (void)cudaGraphDestroy(graph);
  (void)cudaStreamDestroy(stream);
}

}  // namespace guildhall::probe
