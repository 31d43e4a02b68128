#include "tests/cuda_emulation/block.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>

#include "tests/cuda_emulation/block_runner.h"
#include "tests/cuda_emulation/report.h"

constinit thread_local uint3 threadIdx = {};
constinit thread_local uint3 blockIdx = {};
constinit thread_local dim3 blockDim;
constinit thread_local dim3 gridDim;

namespace guildhall::emulation {

constinit thread_local const FiberState* current_fiber = nullptr;
constinit thread_local BlockRunner* running_block = nullptr;

namespace {

std::mutex last_kernel_mutex;
std::string last_kernel = "none";
std::atomic<Watcher*> watcher = nullptr;

BlockRunner& Runner() {
  static thread_local BlockRunner runner;
  return runner;
}

// The block's threads as `order` says; shuffled the same way each time.
std::vector<ThreadPlace> Places(const dim3& block, Order order) {
  const unsigned count = block.x * block.y * block.z;
  std::vector<unsigned> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  if (order == Order::kBackward) std::reverse(numbers.begin(), numbers.end());
  if (order == Order::kShuffled) std::shuffle(numbers.begin(), numbers.end(), std::minstd_rand(count));
  std::vector<ThreadPlace> places;
  for (const unsigned thread : numbers) {
    const unsigned row = thread / block.x;
    places.push_back({{thread, thread / 32, thread % 32}, {thread % block.x, row % block.y, row / block.y}});
  }
  return places;
}

}  // namespace

const BlockState* CurrentBlock() {
  const BlockRunner* const runner = BlockRunner::Running();
  return runner != nullptr ? &runner->state() : nullptr;
}

std::string CurrentKernelName() {
  if (const BlockState* const block = CurrentBlock()) return block->launch->name;
  const std::lock_guard lock(last_kernel_mutex);
  return last_kernel;
}

void Fence() {
  if (Watcher* const who = CurrentWatcher()) who->Fences();
}

void Watch(Watcher* the_watcher) {
  watcher = the_watcher;
}

Watcher* CurrentWatcher() {
  const BlockRunner* const runner = BlockRunner::Running();
  return runner != nullptr ? runner->watcher() : nullptr;
}

void RunLaunch(const Launch& launch, Order order) {
  {
    const std::lock_guard lock(last_kernel_mutex);
    last_kernel = launch.name;
  }
  Watcher* const who = watcher;
  if (who != nullptr) who->KernelBegins(launch);
  BlockRunner& runner = Runner();
  runner.Begin(launch, Places(launch.block, order), who);
  const uint64_t blocks = uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  // Shuffled blocks go in strides that meet each once.
  uint64_t stride = order == Order::kShuffled ? blocks / 2 + 1 : 1;
  while (std::gcd(stride, blocks) != 1) ++stride;
  for (uint64_t i = 0, place = 0; i < blocks; ++i, place = (place + stride) % blocks) {
    const uint64_t block = order == Order::kBackward ? blocks - 1 - i : place;
    const uint64_t row = block / launch.grid.x;
    runner.Run({static_cast<unsigned>(block % launch.grid.x), static_cast<unsigned>(row % launch.grid.y),
                static_cast<unsigned>(row / launch.grid.y)});
  }
  runner.End();
  if (who != nullptr) who->KernelEnds(launch);
}

void Meet(unsigned mask, const char* what, void* operand, Combine combine) {
  BlockRunner::Running()->Meet(mask, what, operand, combine);
}

void MeetBlock() {
  BlockRunner::Running()->MeetBlock();
}

unsigned Lane() {
  return current_fiber->lane;
}

int CheckSource(unsigned mask, const char* what, int source) {
  if ((mask >> source & 1u) == 0) {
    Report(std::string(what) + " reads lane " + std::to_string(source) + ", which its mask lacks");
  }
  return source;
}

unsigned Ballot(unsigned mask, const char* what, bool vote) {
  unsigned mine = vote ? 1 : 0;
  Meet(mask, what, &mine, [](void* const* operands, unsigned lanes) {
    unsigned votes = 0;
    for (unsigned left = lanes; left != 0; left &= left - 1) {
      const int lane = __builtin_ctz(left);
      votes |= *static_cast<unsigned*>(operands[lane]) << lane;
    }
    for (unsigned left = lanes; left != 0; left &= left - 1) {
      *static_cast<unsigned*>(operands[__builtin_ctz(left)]) = votes;
    }
  });
  return mine;
}

}  // namespace guildhall::emulation
