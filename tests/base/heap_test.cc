// What was freed goes back to the system.
#include "base/heap.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace guildhall {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kGlibcHeap = false;  // these have heaps of their own
#else
constexpr bool kGlibcHeap = true;
#endif

// Small pieces on threads of their own, with one in a hundred kept: nothing goes back by itself.
std::vector<std::unique_ptr<char[]>> Peak() {
  std::vector<std::unique_ptr<char[]>> kept;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      std::vector<std::unique_ptr<char[]>> all;
      for (int i = 0; i < 800; ++i) {
        all.push_back(std::make_unique<char[]>(16 << 10));
        std::memset(all.back().get(), 1, 16 << 10);
      }
      const std::lock_guard lock(mutex);
      for (size_t i = 0; i < all.size(); i += 100) kept.push_back(std::move(all[i]));
    });
  }
  for (std::thread& thread : threads) thread.join();
  return kept;
}

TEST_CASE(
    "After a peak of small blocks the memory is the system's again, whatever still lives between them") {
  if (!kGlibcHeap) return;
  BoundHeap();
  const size_t before = ResidentBytes();
  const auto kept = Peak();
  ReturnFreedMemory();
  CHECK(kept.size() == 64);
  CHECK(ResidentBytes() < before + (size_t{20} << 20));  // of 100 MiB
}

TEST_CASE("Who looks now and then gives memory back once after a peak, and not while nothing has grown") {
  if (!kGlibcHeap) return;
  BoundHeap();
  MemoryReturner returner;
  ReturnFreedMemory();
  CHECK_FALSE(returner.Look());
  const size_t before = ResidentBytes();
  auto kept = Peak();
  CHECK(returner.Look());
  CHECK(ResidentBytes() < before + (size_t{20} << 20));
  CHECK_FALSE(returner.Look());
}

TEST_CASE("Memory that was in use when somebody looked goes back once it is freed") {
  if (!kGlibcHeap) return;
  BoundHeap();
  MemoryReturner returner;
  const size_t before = ResidentBytes();
  std::vector<std::unique_ptr<char[]>> all;
  for (int i = 0; i < 4000; ++i) {
    all.push_back(std::make_unique<char[]>(16 << 10));
    std::memset(all.back().get(), 1, 16 << 10);
  }
  returner.Look();
  CHECK(ResidentBytes() > before + (size_t{50} << 20));
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % 100 != 99) all[i].reset();
  }
  CHECK(returner.Look());
  CHECK(ResidentBytes() < before + (size_t{10} << 20));
}

TEST_CASE("A large block goes back with its end, also after one that was larger") {
  if (!kGlibcHeap) return;
  BoundHeap();
  const size_t before = ResidentBytes();
  for (size_t bytes : {size_t{64} << 20, size_t{16} << 20, size_t{4} << 20}) {
    auto block = std::make_unique<char[]>(bytes);
    std::memset(block.get(), 1, bytes);
    CHECK(ResidentBytes() >= before + bytes / 2);
    block.reset();
    CHECK(ResidentBytes() < before + (size_t{3} << 20));
  }
}

}  // namespace
}  // namespace guildhall
