// What the checking mode finds, each in a process of its own that ends with the finding; and what it lets
// pass.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/str_cat.h"
#include "kernels/cuda/launch.h"
#include "tests/cuda_emulation/checks/emulation_counters.h"
#include "tests/cuda_emulation/emulated_device.h"
#include "tests/cuda_emulation/wrong_kernels.h"

namespace guildhall::cuda {
namespace {

using Catch::Matchers::Contains;

constexpr int kCount = 64;

// What a process that runs `body` says; it ends with "passed" when nothing ended it.
std::string OutputOf(const std::function<void()>& body) {
  int ends[2];
  GH_CHECK_EQ(pipe(ends), 0);
  const pid_t child = fork();
  GH_CHECK_GE(child, 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char piece[4096];
  for (ssize_t bytes = 0; (bytes = read(ends[0], piece, sizeof piece)) > 0;) {
    text.append(piece, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? text + "passed" : text;
}

template <typename T>
T* OnDevice(size_t count) {
  T* memory = nullptr;
  GH_CHECK_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
  return memory;
}

PlantedArgs MakeArgs(Planted planted) {
  std::vector<float> in(kCount);
  for (int i = 0; i < kCount; ++i) in[static_cast<size_t>(i)] = static_cast<float>(i);
  auto* const on_device = OnDevice<float>(kCount);
  GH_CHECK_EQ(cudaMemcpy(on_device, in.data(), kCount * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
  PlantedArgs args = {planted, on_device, OnDevice<float>(kCount), OnDevice<int32_t>(1)};
  GH_CHECK_EQ(cudaMemset(args.counter, 0, sizeof(int32_t)), cudaSuccess);
  return args;
}

void Run(const PlantedArgs& args) {
  GH_CHECK_EQ(LaunchPlanted(args, nullptr), cudaSuccess);
  GH_CHECK_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

std::string OutputOf(Planted planted) {
  return OutputOf([&] { Run(MakeArgs(planted)); });
}

TEST_CASE("right kernels pass in each order of their threads", "[cuda_checks]") {
  using emulation::Order;
  for (const Order order : {Order::kForward, Order::kBackward, Order::kShuffled}) {
    const std::string output = OutputOf([&] {
      emulation::EmulatedDevice::SetOrder(order);
      const PlantedArgs args = MakeArgs(Planted::kNothing);
      Run(args);
      std::vector<float> out(kCount);
      int32_t counter = 0;
      GH_CHECK_EQ(cudaMemcpy(out.data(), args.out, kCount * sizeof(float), cudaMemcpyDeviceToHost),
                  cudaSuccess);
      GH_CHECK_EQ(cudaMemcpy(&counter, args.counter, sizeof counter, cudaMemcpyDeviceToHost), cudaSuccess);
      GH_CHECK_EQ(counter, kCount);
      for (int i = 0; i < kCount; ++i) GH_CHECK_EQ(out[static_cast<size_t>(i)], static_cast<float>(i + 1));
    });
    CHECK(output == "passed");
  }
}

struct Case {
  Planted planted;
  const char* kernel;
  const char* finding;
};

TEST_CASE("a wrong kernel is named with what it does", "[cuda_checks]") {
  const Case cases[] = {
      {Planted::kGlobalOutOfBounds, "ThroughGlobal", "reads 4 bytes"},
      {Planted::kGlobalOutOfBounds, "thread (5, 0, 0)",
       "at 256 in device memory, out of bounds: that piece has 256"},
      {Planted::kGlobalBelow, "ThroughGlobal", "in device memory"},
      {Planted::kSharedOutOfBounds, "ThroughShared",
       "at 1024 in shared memory, out of bounds: the block has 1024"},
      {Planted::kUnwrittenShared, "ThroughShared", "byte 160 of shared memory"},
      {Planted::kUnwrittenShared, "thread (23, 0, 0)", "this block wrote nothing there"},
      {Planted::kWarpRace, "ThroughWarp", "race: "},
      {Planted::kGlobalRace, "ThroughGlobal", "race: "},
      {Planted::kBlocksWrite, "OfTwoBlocks", "race of blocks: writes 4 bytes from byte 124"},
      {Planted::kBlocksReadWrite, "OfTwoBlocks", "race of blocks: "},
      {Planted::kFenceForgotten, "LastOfTwoBlocks", "race of blocks: reads 4 bytes"},
      {Planted::kDivergentBarrier, "Divergent", "the block hangs: "},
      {Planted::kLaneOutsideOfMask, "Shuffled", "reads lane 16, which its mask lacks"},
      {Planted::kMisalignedVector, "OfVectors", "misaligned: "},
      {Planted::kMisalignedCopy, "ByCopies", "cp.async: its source is not 16-byte aligned"},
      {Planted::kCopyReadEarly, "ByCopies", "is under way there and was not waited for"},
      {Planted::kCopyOverwritten, "ByCopies", "is under way there and was not waited for"},
      {Planted::kCopyNotAwaited, "ByCopies", "is under way there and was not waited for"},
      {Planted::kCopyLeft, "ByCopies", "ends with 1 copies under way that it did not wait for"},
      {Planted::kCopyRace, "ByCopies", "race: reads"},
      {Planted::kRowOutsideOfShared, "ByMatrices", "byte 1024 is outside of the 1024 bytes"},
  };
  for (const Case& of : cases) {
    CAPTURE(of.finding);
    const std::string output = OutputOf(of.planted);
    CHECK_THAT(output, Contains(of.kernel) && Contains(of.finding));
  }
}

TEST_CASE("a finding names both lines of the source", "[cuda_checks]") {
  const std::string output = OutputOf(Planted::kSharedRace);
  CHECK_THAT(output, Contains("kernel ThroughShared, block (0, 0, 0), thread ("));
  const size_t first = output.find("wrong_kernels.cu:");
  REQUIRE(first != std::string::npos);
  CHECK(output.find("wrong_kernels.cu:", first + 1) != std::string::npos);
}

TEST_CASE("a kernel may not touch memory that was freed", "[cuda_checks]") {
  CHECK_THAT(
      OutputOf([] {
        PlantedArgs args = MakeArgs(Planted::kNothing);
        GH_CHECK_EQ(cudaFree(const_cast<float*>(args.in)), cudaSuccess);
        Run(args);
      }),
      Contains("kernel ThroughShared") && Contains("in device memory that is freed, unmapped or never was"));
}

TEST_CASE("a kernel may read pinned memory of the host, and no pageable memory", "[cuda_checks]") {
  const auto run_from = [](float* host) {
    PlantedArgs args = MakeArgs(Planted::kNothing);
    for (int i = 0; i < kCount; ++i) host[i] = 1.0f;
    args.in = host;
    Run(args);
  };
  CHECK(OutputOf([&] {
          float* pinned = nullptr;
          GH_CHECK_EQ(cudaMallocHost(&pinned, kCount * sizeof(float)), cudaSuccess);
          run_from(pinned);
        }) == "passed");
  CHECK_THAT(OutputOf([&] { run_from(std::vector<float>(kCount).data()); }),
             Contains("kernel ThroughShared") && Contains("reads 4 bytes") &&
                 Contains("of the host's pageable memory"));
}

__global__ void Nothing() {}

TEST_CASE("a launch beyond the device's limits is refused", "[cuda_checks]") {
  const auto launch = [](dim3 grid, dim3 block, size_t shared_bytes) {
    return Launch(&Nothing, {grid, block, shared_bytes}, {});
  };
  CHECK(launch(1, 1024, 232448) == cudaSuccess);
  CHECK(launch(1, 1025, 0) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, dim3(1, 1, 65), 0) == cudaErrorInvalidConfiguration);
  CHECK(launch(dim3(1, 65536), 1, 0) == cudaErrorInvalidConfiguration);
  CHECK(launch(1, 1, 232449) == cudaErrorInvalidValue);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("kernels' bytes, sectors and bank conflicts are counted", "[cuda_checks]") {
  const std::string output = OutputOf([] {
    emulation::EmulationCounters::Enable(true);
    Run(MakeArgs(Planted::kNothing));
    const auto kernels = emulation::EmulationCounters::Take();
    const emulation::KernelAccesses shared = kernels.at("ThroughShared");
    GH_CHECK_EQ(shared.launches, 1u);
    GH_CHECK_EQ(shared.read_bytes, 256u);
    GH_CHECK_EQ(shared.written_bytes, 256u);
    GH_CHECK_EQ(shared.warp_accesses, 4u);
    GH_CHECK_EQ(shared.sectors, 16u);
    GH_CHECK_EQ(shared.shared_passes, 6u);
    GH_CHECK_EQ(shared.bank_conflicts, 0u);
    GH_CHECK_EQ(kernels.at("OfVectors").read_bytes, 256u);
    GH_CHECK_EQ(kernels.at("OfVectors").sectors, 16u);
  });
  CHECK(output == "passed");
}

}  // namespace
}  // namespace guildhall::cuda
