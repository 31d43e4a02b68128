// A load that fails or is cancelled at any point leaves nothing, and the name is free.
#include <pthread.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <string_view>
#include <thread>

#include "absl/time/clock.h"
#include "tests/support/allocation_hook.h"
#include "tests/weights/manager_fixture.h"
#include "weights/product_numbers.h"
#include "weights/weight_manager.h"

namespace guildhall {
namespace {

using absl::StatusCode;

// Of every kind something: experts, shared experts, products, experts' low rank, head, embedding.
AdapterManifest Everything(const ModelSpec& spec) {
  AdapterManifest manifest = EsftManifest({{1, -1}, {1, 0}, {1, 3}, {2, 1}});
  for (const WeightKey key :
       {WeightKey{WeightRole::kQ, 0}, WeightKey{WeightRole::kV, 0}, WeightKey{WeightRole::kExpertUp, 1, 2},
        WeightKey{WeightRole::kExpertDown, 1, 2}, WeightKey{WeightRole::kSharedDown, 2},
        WeightKey{WeightRole::kHead}, WeightKey{WeightRole::kEmbedding}}) {
    manifest.low_rank.push_back(TinyChange(spec, key, 3));
  }
  return manifest;
}

void CheckNothingLeft(ManagerFixture& f) {
  CHECK(f.manager->mapped_bytes() == 0);
  CHECK(f.used() == 0);
  CHECK(f.pages->mapped_bytes == 0);
  CHECK(f.manager->List().empty());
  CHECK(f.manager->Tables()->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 4);
  CHECK(f.manager->Info("a").status().code() == StatusCode::kNotFound);
}

bool OnThread(std::string_view named) {
  char name[16];
  return pthread_getname_np(pthread_self(), name, sizeof(name)) == 0 && named == name;
}

// The allocations of the load thread, and of those that pack for it, until one fails. Negative: one has, or
// none is watched.
std::atomic<int64_t> allocations_left{-1};

bool LoadThreadAllocationFails() {
  return OnThread("adapter-loader") && allocations_left-- == 0;
}

TEST_CASE("Every read that fails") {
  int64_t reads = 0;
  {
    ManagerFixture f;
    const auto world = std::make_shared<TinyWorld>();
    REQUIRE(f.Load("a", Everything(f.spec), 1, world).ok());
    reads = world->reads;
  }
  REQUIRE(reads == 4 * 3 + 7);
  ManagerFixture f;
  for (int64_t k = 1; k <= reads; ++k) {
    const auto world = std::make_shared<TinyWorld>();
    world->fail_at = k;
    const auto failed = f.Load("a", Everything(f.spec), 1, world);
    REQUIRE(failed.status().code() == StatusCode::kDataLoss);
    CheckNothingLeft(f);
  }
  CHECK(f.Load("a", Everything(f.spec)).ok());
}

TEST_CASE("Every reservation and every mapping that fails") {
  int64_t calls = 0;
  {
    ManagerFixture f;
    REQUIRE(f.Load("a", Everything(f.spec)).ok());
    calls = f.pages->calls;
  }
  REQUIRE(calls > 10);
  for (int64_t k = 1; k <= calls; ++k) {
    ManagerFixture f;
    f.pages->fail_at = k;
    const auto failed = f.Load("a", Everything(f.spec));
    REQUIRE(failed.status().code() == StatusCode::kResourceExhausted);
    CheckNothingLeft(f);
    CHECK(f.Load("a", Everything(f.spec)).ok());
  }
}

// [cpu]: an emulated device allocates on the caller's thread and does not survive what a driver would.
TEST_CASE("Every allocation of the load thread that fails", "[cpu]") {
  ManagerFixture f;
  SetAllocationHook(LoadThreadAllocationFails);
  int64_t failed = 0;
  for (;; ++failed) {
    INFO(failed);
    allocations_left = failed;
    const auto loaded = f.Load("a", Everything(f.spec));
    const bool all_went_well = allocations_left.exchange(-1) >= 0;
    if (all_went_well) {
      CHECK(loaded.ok());
      break;
    }
    if (loaded.ok()) {  // one that helps and is not needed
      REQUIRE(f.manager->Unload("a", std::nullopt, absl::InfiniteDuration()).ok());
      f.manager->AwaitFreed();
    } else {
      REQUIRE(loaded.status().code() == StatusCode::kResourceExhausted);
    }
    CheckNothingLeft(f);
  }
  SetAllocationHook(nullptr);
  CHECK(failed > 100);
}

TEST_CASE("What leaves is freed by a thread that gets no memory", "[cpu]") {
  ManagerFixture f;
  SetAllocationHook([] { return OnThread("reclaim"); });
  for (int i = 0; i < 3; ++i) {
    REQUIRE(f.Load("a", Everything(f.spec)).ok());
    CHECK(f.Acquire("a").ok());
    REQUIRE(f.manager->Unload("a", std::nullopt, absl::InfiniteDuration()).ok());
    f.manager->AwaitFreed();
    CHECK(f.manager->mapped_bytes() == 0);
  }
  SetAllocationHook(nullptr);
  CHECK(f.Load("b", Everything(f.spec)).ok());
  REQUIRE(f.manager->Unload("b", std::nullopt, absl::InfiniteDuration()).ok());
  f.manager->AwaitFreed();
  CheckNothingLeft(f);
}

TEST_CASE("A budget that is a page short at any point") {
  uint64_t whole = 0;
  {
    ManagerFixture f;
    REQUIRE(f.Load("a", Everything(f.spec)).ok());
    whole = f.used();  // pages, and what its steps need
  }
  for (uint64_t bytes = 0; bytes < whole; bytes += ManagerFixture::kPage) {
    ManagerFixture f(bytes);
    REQUIRE(f.Load("a", Everything(f.spec)).status().code() == StatusCode::kFailedPrecondition);
    CheckNothingLeft(f);
  }
  ManagerFixture f(whole);
  CHECK(f.Load("a", Everything(f.spec)).ok());
}

TEST_CASE("Files that cannot be opened, and files that change while they are read") {
  ManagerFixture f;
  const auto refuse = []() -> absl::StatusOr<std::unique_ptr<AdapterSource>> {
    return absl::NotFoundError("no such folder");
  };
  CHECK(f.manager->Load({.name = "a", .open = refuse}).status().message() == "no such folder");
  CheckNothingLeft(f);
  const auto world = std::make_shared<TinyWorld>();
  world->on_read = [&](int64_t read) { world->changed = read == 9; };
  CHECK(f.Load("a", Everything(f.spec), 1, world).ok());
  REQUIRE(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).ok());
  world->on_read = [&](int64_t) { world->changed = true; };
  CHECK(f.Load("a", Everything(f.spec), 1, world).status().code() == StatusCode::kDataLoss);
  CheckNothingLeft(f);
}

TEST_CASE("Cancelled at every read") {
  for (int64_t k = 1; k <= 19; ++k) {
    ManagerFixture f;
    const auto world = std::make_shared<TinyWorld>();
    std::stop_source source;
    world->on_read = [&](int64_t read) {
      if (read == k) source.request_stop();
    };
    const auto cancelled = f.manager->Load(
        {.name = "a", .open = OpenTiny(f.spec, Everything(f.spec), 1, world), .cancel = source.get_token()});
    REQUIRE(cancelled.status().code() == StatusCode::kCancelled);
    CHECK(world->reads == k);
    CheckNothingLeft(f);
  }
}

TEST_CASE("A load that waits behind another one can be cancelled, and a second one of the name is refused") {
  ManagerFixture f;
  const auto world = std::make_shared<TinyWorld>();
  std::atomic<bool> go{false};
  world->on_read = [&](int64_t) { Await([&] { return go.load(); }); };
  absl::Status first_status, second_status;
  std::thread first([&] { first_status = f.Load("a", Everything(f.spec), 1, world).status(); });
  Await([&] { return world->reads != 0; });
  CHECK(f.manager->Info("a")->state == AdapterState::kLoading);
  CHECK(f.Load("a", Everything(f.spec)).status().code() == StatusCode::kAborted);
  CHECK(f.Acquire("a").status().code() == StatusCode::kNotFound);
  CHECK(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).status().code() ==
        StatusCode::kFailedPrecondition);
  const auto opened = std::make_shared<TinyWorld>();
  std::thread second([&] {
    const auto result = f.manager->Load(
        {.name = "b", .open = OpenTiny(f.spec, EsftManifest({{1, 0}}), 1, opened), .cancel = Stopped()});
    second_status = result.status();
  });
  second.join();  // at once: the first one still reads
  CHECK(second_status.code() == StatusCode::kCancelled);
  CHECK(second_status.message() == "adapter 'b': the load was cancelled");
  CHECK(f.manager->Info("b").status().code() == StatusCode::kNotFound);
  go = true;
  first.join();
  CHECK(first_status.ok());
  CHECK(opened->opens == 0);
  CHECK(f.manager->List().size() == 1);
}

TEST_CASE("A replacement that fails leaves the version that was there") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}}), 1).ok());
  const uint64_t before = f.manager->mapped_bytes(), id = f.Acquire("a").value()->id;
  const auto world = std::make_shared<TinyWorld>();
  world->fail_at = 2;
  CHECK_FALSE(
      f.manager
          ->Load({.name = "a", .open = OpenTiny(f.spec, EsftManifest({{1, 0}}), 2, world), .replace = true})
          .ok());
  CHECK(f.manager->mapped_bytes() == before);
  const auto set = f.Acquire("a").value();
  CHECK(set->id == id);
  CHECK(HoldsExpert(f.spec, set->members[0].weights->layers[1].replaced[0], 1, 1, 0));
}

TEST_CASE("A way back from disk that fails keeps the adapter on disk, and the next request tries again") {
  ManagerFixture probe;
  const uint64_t one = probe.Load("x", EsftManifest({{1, 0}}))->mapped_bytes;
  ManagerFixture f(one);
  const auto world = std::make_shared<TinyWorld>();
  REQUIRE(f.Load("a", EsftManifest({{1, 0}}), 1, world).ok());
  REQUIRE(f.Load("b", EsftManifest({{2, 0}})).ok());
  world->reads = 0;
  world->fail_at = 2;
  CHECK(f.Acquire("a").status().code() == StatusCode::kDataLoss);
  CHECK(f.manager->Info("a")->tier == AdapterTier::kDisk);
  CHECK(f.manager->Info("a")->readers == 0);
  CHECK(f.manager->mapped_bytes() == 0);  // b made room, in vain
  world->fail_at = 0;
  CHECK(f.Acquire("a").ok());
}

TEST_CASE("Unload ends a way back from disk, and those who waited for it are told") {
  ManagerFixture probe;
  const uint64_t one = probe.Load("x", EsftManifest({{1, 0}}))->mapped_bytes;
  ManagerFixture f(one);
  const auto world = std::make_shared<TinyWorld>();
  REQUIRE(f.Load("a", EsftManifest({{1, 0}}), 1, world).ok());
  REQUIRE(f.Load("b", EsftManifest({{2, 0}})).ok());
  std::atomic<bool> go{false};
  world->reads = 0;
  world->on_read = [&](int64_t) { Await([&] { return go.load(); }); };
  absl::Status acquired, unloaded;
  std::thread waiting([&] { acquired = f.Acquire("a").status(); });
  Await([&] { return world->reads != 0; });
  std::thread unloading(
      [&] { unloaded = f.manager->Unload("a", std::nullopt, absl::InfiniteDuration()).status(); });
  Await([&] { return f.manager->Info("a")->state == AdapterState::kDraining; });
  go = true;
  waiting.join();
  unloading.join();
  CHECK(acquired.code() == StatusCode::kFailedPrecondition);
  CHECK(unloaded.ok());
  CHECK(f.manager->Info("a").status().code() == StatusCode::kNotFound);
  CHECK(f.manager->mapped_bytes() == 0);
}

TEST_CASE("An unload that gives up on a load from disk says so, and who asks meanwhile gets the adapter") {
  ManagerFixture probe;
  const uint64_t one = probe.Load("x", EsftManifest({{1, 0}}))->mapped_bytes;
  ManagerFixture f(one);
  const auto world = std::make_shared<TinyWorld>();
  REQUIRE(f.Load("a", EsftManifest({{1, 0}}), 1, world).ok());
  REQUIRE(f.Load("b", EsftManifest({{2, 0}})).ok());
  std::atomic<bool> go{false};
  world->reads = 0;
  world->on_read = [&](int64_t) { Await([&] { return go.load(); }); };
  const AdapterUse use{"a", 1.0f};
  CHECK(f.manager->Acquire({&use, 1}, absl::Now()).status().code() == StatusCode::kDeadlineExceeded);
  Await([&] { return world->reads != 0; });
  f.manager->AwaitFreed();
  const absl::Status refused = f.manager->Unload("a", std::nullopt, absl::Milliseconds(1)).status();
  CHECK(refused.code() == StatusCode::kFailedPrecondition);
  CHECK(
      refused.message() ==
      "adapter 'a' (version 1): its load from disk is still ending after 1ms: it stays loaded; wait longer");
  absl::Status acquired, pinned;
  std::thread waiting([&] { acquired = f.Acquire("a").status(); });
  std::thread pinning([&] { pinned = f.manager->Pin("a", true); });
  Await([&] { return f.manager->Info("a")->readers == 1; });  // it has joined the load that ends
  go = true;
  waiting.join();
  pinning.join();
  CHECK(acquired.ok());
  CHECK(pinned.ok());
  CHECK(f.manager->Info("a")->tier == AdapterTier::kResident);
}

}  // namespace
}  // namespace guildhall
