// The road of packed items: made on the host, brought home by upload, by several threads, until one fails.
#include "weights/pack_runner.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/check.h"

namespace guildhall {
namespace {

// A device that the host cannot write to but by upload: twins are memory of their own.
class FarMemory final : public DeviceMemory {
 public:
  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, std::string_view) override {
    auto owner = std::make_shared<std::vector<std::byte>>(bytes);
    std::byte* const data = owner->data();
    return DeviceBuffer(data, bytes, std::move(owner));
  }
  absl::StatusOr<HostTwin> MakeTwin(std::byte* home, size_t bytes) override {
    auto owner = std::make_shared<std::vector<std::byte>>(bytes, std::byte{0xee});
    std::byte* const data = owner->data();
    return HostTwin(home, data, bytes, std::move(owner));
  }
  absl::Status Upload(const HostTwin& twin) override {
    if (++uploads == fail_at) return absl::InternalError("the bus is broken (a test's wish)");
    std::memcpy(twin.home(), twin.data(), twin.size());
    return absl::OkStatus();
  }
  absl::Status Download(const HostTwin& twin, size_t bytes) override {
    std::memcpy(twin.data(), twin.home(), bytes);
    return absl::OkStatus();
  }
  absl::StatusOr<DeviceBuffer> Bring(std::span<const std::byte>, std::shared_ptr<const void>,
                                     std::string_view) override {
    return absl::UnimplementedError("not asked for");
  }
  absl::StatusOr<AvailableMemory> Available() const override {
    return absl::UnimplementedError("not asked for");
  }
  PageMemory& pages() override { CheckFailed(__FILE__, __LINE__, "pages are not asked for"); }

  std::atomic<int> uploads{0};
  int fail_at = 0;
};

PackedItem Item(size_t run, size_t offset, size_t bytes, uint8_t value) {
  PackedItem item;
  item.name = "item " + std::to_string(value);
  item.run = run;
  item.offset = offset;
  item.bytes = bytes;
  item.fill = [bytes, value](std::byte* place, PackScratch&) {
    std::memset(place, value, bytes);
    return absl::OkStatus();
  };
  return item;
}

// Two runs with items and a gap.
struct World {
  FarMemory memory;
  std::vector<std::byte> a = std::vector<std::byte>(256), b = std::vector<std::byte>(128);
  std::vector<PackedItem> items{Item(0, 0, 100, 1), Item(0, 128, 128, 2), Item(1, 64, 64, 3)};

  absl::Status Pack(const PackControl& control = {}) {
    std::byte* const runs[] = {a.data(), b.data()};
    return PackItems(items, runs, memory, control);
  }
};

TEST_CASE("Items arrive at their places and nothing else is written") {
  for (const bool low_priority : {false, true}) {
    for (const int threads : {1, 2, 5}) {
      World world;
      REQUIRE(world.Pack({.threads = threads, .low_priority = low_priority}).ok());
      for (size_t i = 0; i < world.a.size(); ++i) {
        REQUIRE(world.a[i] == std::byte{static_cast<uint8_t>(i < 100 ? 1 : i < 128 ? 0 : 2)});
      }
      for (size_t i = 0; i < world.b.size(); ++i) {
        REQUIRE(world.b[i] == std::byte{static_cast<uint8_t>(i < 64 ? 0 : 3)});
      }
      CHECK(world.memory.uploads == 3);
    }
  }
}

TEST_CASE("Progress goes from nothing to all bytes") {
  World world;
  std::vector<uint64_t> seen;
  REQUIRE(world
              .Pack({.threads = 2,
                     .progress =
                         [&](uint64_t done, uint64_t total) {
                           CHECK(total == 292);
                           seen.push_back(done);
                         }})
              .ok());
  REQUIRE(seen.size() == 4);
  CHECK(seen.front() == 0);
  CHECK(seen.back() == 292);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
}

TEST_CASE("The first error wins, and what has not begun is not done") {
  for (const int threads : {1, 3}) {
    World world;
    std::atomic<int> filled{0};
    world.items.clear();
    for (uint8_t i = 0; i < 50; ++i) {
      world.items.push_back(Item(0, 0, 64, i));
      world.items.back().fill = [&filled, i](std::byte*, PackScratch&) {
        ++filled;
        return i < 10 ? absl::OkStatus() : absl::DataLossError("item " + std::to_string(i));
      };
    }
    const absl::Status failed = world.Pack({.threads = threads});
    CHECK(failed.code() == absl::StatusCode::kDataLoss);
    CHECK(filled <= 10 + threads);
    CHECK(world.memory.uploads <= 10 + threads);
  }
}

TEST_CASE("An upload that fails names the item") {
  World world;
  world.memory.fail_at = 2;
  const absl::Status failed = world.Pack();
  CHECK(failed.code() == absl::StatusCode::kInternal);
  CHECK(failed.message() == "item 2: the bus is broken (a test's wish)");
}

TEST_CASE("A cancelled load stops before the next item, and within one that asks") {
  World world;
  bool cancelled = false;
  world.items[1].fill = [&](std::byte*, PackScratch& scratch) {
    CHECK(scratch.CheckStopped().ok());
    cancelled = true;
    return scratch.CheckStopped();
  };
  const absl::Status status = world.Pack({.cancelled = [&] { return cancelled; }});
  CHECK(status.code() == absl::StatusCode::kCancelled);
  CHECK(world.memory.uploads == 1);
  CHECK(world.Pack({.cancelled = [] { return true; }}).code() == absl::StatusCode::kCancelled);
  CHECK(world.memory.uploads == 1);
}

TEST_CASE("Each item is worked on once, by scratch of one worker at a time") {
  std::vector<PackedItem> items(200);
  std::mutex mutex;
  std::set<const PackedItem*> done;
  const auto work = [&](const PackedItem& item, PackScratch& scratch) {
    scratch[0].assign(100, std::byte{7});
    scratch[PackScratch::kBuffers - 1].resize(5);
    std::lock_guard lock(mutex);
    CHECK(done.insert(&item).second);
    return absl::OkStatus();
  };
  REQUIRE(ForEachItem(items, {.threads = 4}, work).ok());
  CHECK(done.size() == items.size());
  REQUIRE(ForEachItem({}, {.threads = 4}, work).ok());
}

}  // namespace
}  // namespace guildhall
