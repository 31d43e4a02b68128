#include "weights/page_range.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>
#include <set>

#include "kernels/cpu/device_memory.h"
#include "tests/weights/fake_page_memory.h"

namespace guildhall {
namespace {

constexpr size_t kPage = 4096;
using Counts = CountingPageMemory::Counts;

struct World {
  explicit World(uint64_t total = uint64_t{1} << 40) : budget(std::make_shared<ByteBudget>(total)) {}

  uint64_t used() const { return budget->used(ByteBudget::Holder::kAdapters); }

  std::shared_ptr<Counts> counts = std::make_shared<Counts>();
  std::shared_ptr<ByteBudget> budget;
  CountingPageMemory pages{kPage, counts};
  PagePool pool{pages, budget};
};

TEST_CASE("Runs lie densely and neighbours share their border page") {
  World world;
  PageRange range(world.pool);
  std::byte* a = range.Allocate(kPage + 100).value();
  REQUIRE(world.pool.mapped_bytes() == 2 * kPage);
  std::byte* b = range.Allocate(kPage).value();
  CHECK(b == a + kPage + 128);  // 100 rounded up to 64
  CHECK(range.mapped_pages() == 3);
  CHECK(range.MappedShare(a) == 1.5 * kPage);
  CHECK(range.MappedShare(b) == 1.5 * kPage);
  CHECK(range.PagesToFree(std::vector<std::byte*>{a}) == 1);
  CHECK(range.PagesToFree(std::vector<std::byte*>{a, b}) == 3);

  range.Free(a);
  CHECK(range.mapped_pages() == 2);
  CHECK(world.used() == 2 * kPage);
  // The first hole that is large enough is taken; its border page is there already.
  CHECK(range.PagesToAllocate(std::vector<size_t>{kPage + 128}) == 1);
  CHECK(range.Allocate(kPage + 128).value() == a);
  CHECK(world.counts->mapped_bytes == 3 * kPage);
  range.Free(a);
  range.Free(b);
  CHECK(world.pool.mapped_bytes() == 0);
  CHECK(world.used() == 0);
}

TEST_CASE("A range grows by extents and keeps their addresses") {
  World world;
  PageRange range(world.pool);
  std::byte* small = range.Allocate(1).value();
  std::byte* large = range.Allocate(1000 * kPage).value();
  CHECK((large < small || large >= small + 64 * kPage));
  range.Free(small);
  range.Free(large);
  CHECK(world.counts->mapped_bytes == 0);
  CHECK(range.Allocate(1).value() == small);
  range.Free(small);
}

TEST_CASE("The budget is exact: its last page can be had, and not one more") {
  World world(3 * kPage);
  PageRange range(world.pool);
  std::byte* a = range.Allocate(3 * kPage).value();
  const auto refused = range.Allocate(1);
  REQUIRE(refused.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(refused.status().message() ==
        "adapter pages: 4096 bytes are needed and 0 of the budget's 12288 are free");
  range.Free(a);
  CHECK_FALSE(range.Allocate(3 * kPage + 1).ok());
  CHECK(world.pool.mapped_bytes() == 0);
  CHECK(world.budget->free() == 3 * kPage);
}

TEST_CASE("What the KV cache holds is not free for pages") {
  World world(3 * kPage);
  REQUIRE(world.budget->TryTake(ByteBudget::Holder::kKvCache, 2 * kPage));
  PageRange range(world.pool);
  CHECK_FALSE(range.Allocate(kPage + 1).ok());
  std::byte* a = range.Allocate(kPage).value();
  CHECK_FALSE(world.budget->TryTake(ByteBudget::Holder::kKvCache, 1));
  world.budget->Give(ByteBudget::Holder::kKvCache, 2 * kPage);
  CHECK(world.budget->free() == 2 * kPage);
  range.Free(a);
}

// A model that knows only which bytes are taken: what must be mapped follows from it.
class RangeModel {
 public:
  void Add(std::byte* begin, size_t bytes) {
    const auto [place, fresh] = runs_.emplace(begin, (bytes + 63) / 64 * 64);
    REQUIRE(fresh);
    if (place != runs_.begin()) {
      const auto before = std::prev(place);
      REQUIRE(before->first + before->second <= begin);
    }
    const auto after = std::next(place);
    if (after != runs_.end()) REQUIRE(begin + place->second <= after->first);
  }
  void Remove(std::byte* begin) { REQUIRE(runs_.erase(begin) == 1); }
  size_t Pages() const {
    std::set<uintptr_t> pages;
    for (const auto& [begin, bytes] : runs_) {
      const auto first = reinterpret_cast<uintptr_t>(begin);
      for (uintptr_t p = first / kPage; p <= (first + bytes - 1) / kPage; ++p) pages.insert(p);
    }
    return pages.size();
  }
  const std::map<std::byte*, size_t>& runs() const { return runs_; }

 private:
  std::map<std::byte*, size_t> runs_;
};

TEST_CASE("Random runs: mapped pages are those that are touched, predictions hold, all comes back") {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    World world(200 * kPage);
    PageRange range(world.pool);
    RangeModel model;
    for (int step = 0; step < 400; ++step) {
      if (model.runs().empty() || random() % 5 < 3) {
        const size_t bytes = 1 + random() % (random() % 4 == 0 ? 20 * kPage : 2 * kPage);
        const size_t predicted = range.PagesToAllocate(std::vector<size_t>{bytes});
        const auto run = range.Allocate(bytes);
        REQUIRE(run.ok() == (predicted + model.Pages() <= 200));
        if (run.ok()) model.Add(*run, bytes);
      } else {
        const auto victim = std::next(model.runs().begin(), static_cast<int>(random() % model.runs().size()));
        std::byte* begin = victim->first;
        const size_t before = model.Pages(), predicted = range.PagesToFree(std::vector<std::byte*>{begin});
        range.Free(begin);
        model.Remove(begin);
        REQUIRE(before - model.Pages() == predicted);
      }
      REQUIRE(range.mapped_pages() == model.Pages());
      REQUIRE(world.counts->mapped_bytes == model.Pages() * kPage);
      REQUIRE(world.used() == model.Pages() * kPage);
      double shares = 0.0;
      for (const auto& [begin, bytes] : model.runs()) shares += range.MappedShare(begin);
      REQUIRE(shares == Approx(static_cast<double>(model.Pages() * kPage)));
    }
    while (!model.runs().empty()) {
      std::byte* begin = model.runs().begin()->first;
      range.Free(begin);
      model.Remove(begin);
    }
    REQUIRE(world.counts->mapped_bytes == 0);
    REQUIRE(world.used() == 0);
  }
}

TEST_CASE("A prediction for several runs is what allocating them in turn maps") {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    World world;
    PageRange range(world.pool);
    std::vector<std::byte*> runs;
    for (int i = 0; i < 20; ++i) runs.push_back(range.Allocate(1 + random() % (3 * kPage)).value());
    for (int i = 0; i < 10; ++i) {
      const size_t victim = random() % runs.size();
      range.Free(runs[victim]);
      runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(victim));
    }
    std::vector<size_t> sizes(30);
    for (size_t& size : sizes) size = 1 + random() % (30 * kPage);
    const size_t predicted = range.PagesToAllocate(sizes), before = range.mapped_pages();
    for (const size_t size : sizes) runs.push_back(range.Allocate(size).value());
    CHECK(range.mapped_pages() - before == predicted);
    CHECK(range.PagesToFree(runs) == range.mapped_pages());
    for (std::byte* run : runs) range.Free(run);
  }
}

TEST_CASE("The failure of any call to the system leaves nothing") {
  // Five runs, one of which needs an extent of its own: seven calls, of which each fails once.
  const std::vector<size_t> sizes{100, kPage, 3 * kPage, 1000 * kPage, 2 * kPage};
  for (int64_t k = 1; k <= 7; ++k) {
    World world;
    world.counts->fail_at = k;
    PageRange range(world.pool);
    std::vector<std::byte*> runs;
    int failures = 0;
    for (const size_t size : sizes) {
      const uint64_t mapped = world.counts->mapped_bytes, reserved = world.counts->reserved_bytes;
      const auto run = range.Allocate(size);
      if (run.ok()) {
        runs.push_back(*run);
        continue;
      }
      ++failures;
      CHECK(world.counts->mapped_bytes == mapped);
      CHECK(world.counts->reserved_bytes == reserved);
      CHECK(world.used() == mapped);
      runs.push_back(range.Allocate(size).value());  // the next try finds all as before
    }
    CHECK(failures == 1);
    for (std::byte* run : runs) range.Free(run);
    CHECK(world.counts->mapped_bytes == 0);
  }
}

TEST_CASE("The CPU's pages are zeroed, writable, aligned, and empty when they come again") {
  const size_t page = GENERATE(size_t{4096}, size_t{64} << 10, size_t{2} << 20);
  const auto memory = MakeCpuPageMemory(page);
  REQUIRE(memory->page_bytes() == page);
  std::byte* begin = memory->Reserve(8 * page).value();
  CHECK(reinterpret_cast<uintptr_t>(begin) % page == 0);
  for (int round = 0; round < 2; ++round) {
    REQUIRE(memory->Map(begin + 2 * page, 3 * page).ok());
    for (size_t i = 0; i < 3 * page; i += 512) REQUIRE(begin[2 * page + i] == std::byte{0});
    std::memset(begin + 2 * page, 0x5a, 3 * page);
    memory->Unmap(begin + 3 * page, page);
    CHECK(begin[2 * page] == std::byte{0x5a});
    CHECK(begin[5 * page - 1] == std::byte{0x5a});
    memory->Unmap(begin + 2 * page, page);
    memory->Unmap(begin + 4 * page, page);
  }
  memory->Unreserve(begin, 8 * page);
}

TEST_CASE("Addresses that no system has are refused") {
  const auto memory = MakeCpuPageMemory(4096);
  for (const size_t bytes : {size_t{1} << 62, SIZE_MAX / 4096 * 4096}) {
    const auto refused = memory->Reserve(bytes);
    CHECK(refused.status().code() == absl::StatusCode::kResourceExhausted);
  }
}

}  // namespace
}  // namespace guildhall
