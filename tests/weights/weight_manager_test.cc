#include "weights/weight_manager.h"

#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>

#include "absl/time/clock.h"
#include "tests/weights/manager_fixture.h"
#include "weights/product_numbers.h"

namespace guildhall {
namespace {

using absl::StatusCode;

TEST_CASE("A loaded adapter's experts stand in the table, packed as the base's") {
  ManagerFixture f;
  const auto info = f.Load("a", EsftManifest({{1, -1}, {1, 2}, {2, 0}, {2, 3}}), 7);
  REQUIRE(info.ok());
  CHECK(info->version == 1);
  CHECK(info->state == AdapterState::kReady);
  CHECK(info->tier == AdapterTier::kResident);
  CHECK(info->kind == "esft");
  CHECK(info->layers == 2);
  CHECK(info->experts == 3);
  CHECK(info->mapped_bytes == f.manager->mapped_bytes());
  CHECK(info->tensor_bytes > 0);

  const auto set = f.Acquire("a").value();
  const auto tables = f.manager->Tables();
  CHECK(tables->tables[static_cast<size_t>(RoutedMap(0))].slots.empty());
  CHECK(tables->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 5);
  CHECK(tables->tables[static_cast<size_t>(RoutedMap(2))].slots.size() == 6);
  CHECK(tables->max_slots == 6);
  CHECK(set->layers[0].expert_map.empty());
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{0, 1, 4, 3});
  CHECK(set->layers[2].expert_map == std::vector<int32_t>{4, 1, 2, 5});
  for (int e = 0; e < 4; ++e)
    CHECK(tables->tables[static_cast<size_t>(RoutedMap(1))].slots[static_cast<size_t>(e)].gate_up.data ==
          &f.marker);
  CHECK(HoldsExpert(f.spec, tables->tables[static_cast<size_t>(RoutedMap(1))].slots[4], 7, 1, 2));
  CHECK(HoldsExpert(f.spec, tables->tables[static_cast<size_t>(RoutedMap(2))].slots[4], 7, 2, 0));
  CHECK(HoldsExpert(f.spec, tables->tables[static_cast<size_t>(RoutedMap(2))].slots[5], 7, 2, 3));
  REQUIRE(set->layers[1].shared_slot >= 0);
  CHECK(HoldsExpert(f.spec, set->members[0].weights->layers[1].shared, 7, 1, -1));
  CHECK(set->layers[2].shared_slot == -1);
  // The workspaces can be written from end to end.
  CHECK(CanHold(f.workspace->Begin().group_begin, static_cast<size_t>(tables->max_slots + 1)));
  CHECK(f.workspace->reserved().columns == 0);
}

TEST_CASE("The base has no set, and its tables are there from the start") {
  ManagerFixture f;
  const auto none = f.manager->Acquire({}, absl::InfiniteFuture());
  REQUIRE(none.ok());
  CHECK(*none == nullptr);
  CHECK(f.manager->Tables()->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 4);
  CHECK(f.manager->List().empty());
  CHECK(f.Acquire("a").status().message() == "adapter 'a' is not loaded");
  CHECK(f.Acquire("a").status().code() == StatusCode::kNotFound);
}

TEST_CASE("Requests for the same combination share one set and count one by one") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}})).ok());
  auto first = f.Acquire("a").value();
  auto second = f.Acquire("a").value();
  CHECK(first.get() == second.get());
  CHECK(f.manager->Info("a")->readers == 2);
  first.reset();
  CHECK(f.manager->Info("a")->readers == 1);
  const uint64_t id = second->id;
  second.reset();
  CHECK(f.manager->Info("a")->readers == 0);
  CHECK(f.Acquire("a").value()->id == id);
}

TEST_CASE("Different versions, factors and orders are different sets, for ever") {
  ManagerFixture f;
  const auto key = [](int layer) { return WeightKey{WeightRole::kO, layer}; };
  const AdapterManifest lora = LoraManifest({TinyChange(f.spec, key(1), 3)});
  REQUIRE(f.Load("a", lora).ok());
  REQUIRE(f.Load("b", lora).ok());
  const auto id_of = [&](std::vector<AdapterUse> uses) {
    return f.manager->Acquire(uses, absl::InfiniteFuture()).value()->id;
  };
  const uint64_t a = id_of({{"a"}}), b = id_of({{"b"}}), half = id_of({{"a", 0.5f}});
  const uint64_t ab = id_of({{"a"}, {"b"}}), ba = id_of({{"b"}, {"a"}});
  CHECK(std::set<uint64_t>{0, a, b, half, ab, ba}.size() == 6);
  CHECK(id_of({{"a"}, {"b"}}) == ab);
  REQUIRE(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).ok());
  REQUIRE(f.Load("a", lora).ok());
  const uint64_t again = id_of({{"a"}});
  CHECK(std::set<uint64_t>{0, a, b, half, ab, ba, again}.size() == 7);
  CHECK(id_of({{"b"}}) == b);
}

TEST_CASE("A name that is taken is refused, and compare-and-swap replaces the expected version only") {
  ManagerFixture f;
  const AdapterManifest esft = EsftManifest({{1, 0}});
  REQUIRE(f.Load("a", esft, 1).ok());
  CHECK(f.Load("a", esft, 2).status().code() == StatusCode::kAlreadyExists);
  const OpenAdapter open = OpenTiny(f.spec, esft, 2);
  CHECK(f.manager->Load({.name = "a", .open = open, .expected_version = 0}).status().code() ==
        StatusCode::kAlreadyExists);
  const auto other = f.manager->Load({.name = "a", .open = open, .expected_version = 9});
  CHECK(other.status().code() == StatusCode::kAborted);
  CHECK(other.status().message() ==
        "adapter 'a': version 9 was expected, found version 1; list the adapters and decide anew");
  CHECK(f.manager->Load({.name = "b", .open = open, .expected_version = 1}).status().code() ==
        StatusCode::kAborted);
  CHECK(f.manager->Info("a")->version == 1);
  const auto swapped = f.manager->Load({.name = "a", .open = open, .expected_version = 1});
  REQUIRE(swapped.ok());
  CHECK(f.manager->Info("a")->version == swapped->version);
  CHECK(HoldsExpert(f.spec, f.Acquire("a").value()->members[0].weights->layers[1].replaced[0], 2, 1, 0));
  REQUIRE(f.manager->Load({.name = "a", .open = open, .replace = true}).ok());
  CHECK(f.manager->List().size() == 1);
}

TEST_CASE("A replaced version serves those who hold it, and goes with the last of them") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}, {2, 1}}), 1).ok());
  const uint64_t one = f.manager->mapped_bytes();
  auto old = f.Acquire("a").value();
  REQUIRE(
      f.manager
          ->Load({.name = "a", .open = OpenTiny(f.spec, EsftManifest({{1, 0}, {2, 1}}), 2), .replace = true})
          .ok());
  auto fresh = f.Acquire("a").value();
  CHECK(old->id != fresh->id);
  const auto list = f.manager->List();
  REQUIRE(list.size() == 2);
  CHECK(list[0].state == AdapterState::kDraining);
  CHECK(list[0].readers == 1);
  CHECK(list[1].state == AdapterState::kReady);
  const auto tables = f.manager->Tables();
  const auto slot = [&](const AdapterSet& set) {
    return tables->tables[static_cast<size_t>(RoutedMap(1))]
        .slots[static_cast<size_t>(set.layers[1].expert_map[0])];
  };
  CHECK(HoldsExpert(f.spec, slot(*old), 1, 1, 0));
  CHECK(HoldsExpert(f.spec, slot(*fresh), 2, 1, 0));
  old.reset();
  CHECK(f.manager->List().size() == 1);
  CHECK(f.manager->mapped_bytes() == one);
  CHECK(HoldsExpert(f.spec, slot(*fresh), 2, 1, 0));
}

TEST_CASE("Unload frees everything, says how much, and the name is free") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}, {2, 1}})).ok());
  const uint64_t mapped = f.manager->mapped_bytes();
  const auto done = f.manager->Unload("a", 1, absl::ZeroDuration());
  REQUIRE(done.ok());
  CHECK(done->version == 1);
  CHECK(done->freed_bytes == mapped);
  CHECK(f.manager->mapped_bytes() == 0);
  CHECK(f.used() == 0);
  CHECK(f.pages->mapped_bytes == 0);
  CHECK(f.manager->Tables()->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 4);
  CHECK(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).status().code() == StatusCode::kNotFound);
  REQUIRE(f.Load("a", EsftManifest({{1, 0}})).ok());
  CHECK(f.manager->Unload("a", 1, absl::ZeroDuration()).status().code() == StatusCode::kAborted);
}

TEST_CASE("Unload that meets readers reports them after its time, and the adapter stays as it was") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}})).ok());
  auto one = f.Acquire("a").value(), two = f.Acquire("a").value();
  const auto refused = f.manager->Unload("a", std::nullopt, absl::Milliseconds(1));
  CHECK(refused.status().code() == StatusCode::kFailedPrecondition);
  CHECK(
      refused.status().message() ==
      "adapter 'a' (version 1) is still read by 2 requests after 1ms: it stays loaded; wait longer, or cancel"
      " them");
  CHECK(f.Acquire("a").ok());
  CHECK(f.manager->Info("a")->state == AdapterState::kReady);
}

TEST_CASE("Unload takes no new readers, and ends when the last one drops its set") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}})).ok());
  auto held = f.Acquire("a").value();
  std::atomic<bool> done{false};
  absl::Status unloaded;
  std::thread unloading([&] {
    unloaded = f.manager->Unload("a", std::nullopt, absl::InfiniteDuration()).status();
    done = true;
  });
  Await([&] { return f.manager->Info("a")->state == AdapterState::kDraining; });
  CHECK(f.Acquire("a").status().code() == StatusCode::kFailedPrecondition);
  CHECK(f.Load("a", EsftManifest({{1, 0}})).status().code() == StatusCode::kAborted);
  CHECK(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).status().code() == StatusCode::kAborted);
  CHECK_FALSE(done);
  CHECK(HoldsExpert(f.spec, held->members[0].weights->layers[1].replaced[0], 1, 1, 0));
  held.reset();
  unloading.join();
  CHECK(unloaded.ok());
  CHECK(f.manager->mapped_bytes() == 0);
}

TEST_CASE("While pages are given back, nobody waits who drops a set, asks for one, or begins a step") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}})).ok());
  REQUIRE(f.Load("b", EsftManifest({{2, 0}})).ok());
  auto old = f.Acquire("a").value();
  REQUIRE(
      f.manager->Load({.name = "a", .open = OpenTiny(f.spec, EsftManifest({{1, 0}})), .replace = true}).ok());
  std::atomic<bool> go{false}, unmapping{false};
  f.pages->on_unmap = [&] {
    unmapping = true;
    Await([&] { return go.load(); });
  };
  old.reset();
  Await([&] { return unmapping.load(); });
  auto b = f.Acquire("b");
  CHECK(b.ok());
  CHECK(f.Acquire("a").ok());
  CHECK(f.manager->Tables()->tables[static_cast<size_t>(RoutedMap(2))].slots.size() == 5);
  b->reset();
  go = true;
  f.manager->AwaitFreed();
  CHECK(f.manager->Info("b")->readers == 0);
}

TEST_CASE("Slots that became free are used again, and tables end with the last taken one") {
  ManagerFixture f;
  REQUIRE(f.Load("a", EsftManifest({{1, 0}, {1, 1}})).ok());
  REQUIRE(f.Load("b", EsftManifest({{1, 2}})).ok());
  REQUIRE(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).ok());
  auto tables = f.manager->Tables();
  REQUIRE(tables->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 7);
  CHECK(tables->tables[static_cast<size_t>(RoutedMap(1))].slots[4].gate_up.empty());
  REQUIRE(f.Load("c", EsftManifest({{1, 3}})).ok());
  CHECK(f.Acquire("c").value()->layers[1].expert_map == std::vector<int32_t>{0, 1, 2, 4});
  REQUIRE(f.manager->Unload("b", std::nullopt, absl::ZeroDuration()).ok());
  CHECK(f.manager->Tables()->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 5);
  // Who still has the older snapshot reads it undisturbed.
  CHECK(tables->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 7);
}

TEST_CASE("The workspace is as wide as the widest adapter, and a wider combination widens it first") {
  ManagerFixture f;
  const AdapterManifest lora = LoraManifest({TinyChange(f.spec, {WeightRole::kQ, 1}, 17)});
  REQUIRE(f.Load("a", lora).ok());
  REQUIRE(f.Load("b", lora).ok());
  REQUIRE(f.Load("c", EsftManifest({{1, 0}})).ok());
  CHECK(f.workspace->reserved().columns == Columns(17));
  const std::vector<AdapterUse> uses{{"a"}, {"b", 2.0f}, {"c"}};
  auto set = f.manager->Acquire(uses, absl::InfiniteFuture()).value();
  CHECK(set->rank_columns == 2 * Columns(17));
  CHECK(set->products[static_cast<size_t>(ProductNumber(1, Product::kQkv))].size() == 2);
  CHECK(set->products[static_cast<size_t>(ProductNumber(1, Product::kQkv))][1].scale == 2.0f);
  const StepWorkspace::View view = f.workspace->Begin();
  CHECK(view.columns == set->rank_columns);
  const auto results = static_cast<size_t>(8 * 2 * view.columns);  // (8 rows, 2 experts per row)
  CHECK(CanHold(view.low_rank, results));
  CHECK(f.workspace->charged_bytes() >= results * sizeof(float));
  set.reset();
  f.manager->AwaitFreed();
  REQUIRE(f.manager->Unload("a", std::nullopt, absl::ZeroDuration()).ok());
  CHECK(f.workspace->reserved().columns == Columns(17));
}

TEST_CASE("A combination asks the KV cache for the workspace that the budget lacks") {
  constexpr auto kKv = ByteBudget::Holder::kKvCache;
  const bool gives = GENERATE(true, false);
  WeightManagerOptions options;
  options.kv_patience = gives ? absl::InfiniteDuration() : absl::Milliseconds(1);
  ManagerFixture f(uint64_t{64} << 20, options);
  const AdapterManifest lora = LoraManifest({TinyChange(f.spec, {WeightRole::kQ, 1}, 17)});
  REQUIRE(f.Load("a", lora).ok());
  REQUIRE(f.Load("b", lora).ok());
  REQUIRE(f.budget->TryTake(kKv, f.budget->free()));
  std::thread kv([&] {
    if (!gives) return;
    Await([&] { return f.budget->wanted_of_kv() != 0; });
    f.budget->Give(kKv, f.budget->wanted_of_kv());
  });
  const std::vector<AdapterUse> uses{{"a"}, {"b"}};
  const auto set = f.manager->Acquire(uses, absl::InfiniteFuture());
  kv.join();
  CHECK(set.ok() == gives);
  if (!gives) CHECK(set.status().code() == absl::StatusCode::kResourceExhausted);
  CHECK(f.budget->wanted_of_kv() == 0);
  CHECK(f.workspace->reserved().columns == (gives ? 2 : 1) * Columns(17));
  CHECK(f.Acquire("a").ok());
}

// While it lives, the process gets no more than half a GiB of addresses.
class FewAddresses {
 public:
  FewAddresses() {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    GH_CHECK_GT(pages, 0u);
    GH_CHECK_EQ(getrlimit(RLIMIT_AS, &before_), 0);
    const rlimit few{pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{512} << 20),
                     before_.rlim_max};
    GH_CHECK_EQ(setrlimit(RLIMIT_AS, &few), 0);
  }
  FewAddresses(const FewAddresses&) = delete;
  FewAddresses& operator=(const FewAddresses&) = delete;
  ~FewAddresses() { GH_CHECK_EQ(setrlimit(RLIMIT_AS, &before_), 0); }

 private:
  rlimit before_;
};

TEST_CASE("A combination that gets no workspace is given to nobody, and what leaves meanwhile leaves",
          "[cpu]") {
  // (2^23 rows, 32 columns): a GiB that nobody touches.
  WeightManagerOptions options;
  options.max_rows = int64_t{1} << 22;
  ManagerFixture f(uint64_t{4} << 30, options);
  const AdapterManifest lora = LoraManifest({TinyChange(f.spec, {WeightRole::kQ, 1}, 17)});
  const AdapterManifest one = EsftManifest({{1, 0}}), two = EsftManifest({{2, 0}});
  REQUIRE(f.Load("a", lora).ok());
  REQUIRE(f.Load("b", lora).ok());
  REQUIRE(f.Load("c", one).ok());
  REQUIRE(f.Load("d", two).ok());
  const std::vector<AdapterUse> leaving{{"c"}, {"d"}}, wide{{"a"}, {"b"}};
  auto old = f.manager->Acquire(leaving, absl::InfiniteFuture()).value();
  REQUIRE(f.manager->Load({.name = "c", .open = OpenTiny(f.spec, one), .replace = true}).ok());
  REQUIRE(f.manager->Load({.name = "d", .open = OpenTiny(f.spec, two), .replace = true}).ok());
  const uint64_t left = f.manager->mapped_bytes();
  std::atomic<bool> go{false}, unmapping{false};
  f.pages->on_unmap = [&] {
    unmapping = true;
    Await([&] { return go.load(); });
  };
  old.reset();
  Await([&] { return unmapping.load(); });
  {
    // The pages of one version are being freed, those of the other come next, and then what was refused here.
    const FewAddresses few;
    for (int i = 0; i < 2; ++i) {
      CHECK(f.manager->Acquire(wide, absl::InfiniteFuture()).status().code() ==
            StatusCode::kResourceExhausted);
    }
    go = true;
    f.manager->AwaitFreed();
  }
  CHECK(f.workspace->reserved().columns == Columns(17));
  CHECK(f.manager->mapped_bytes() < left);
  const auto set = f.manager->Acquire(wide, absl::InfiniteFuture());
  REQUIRE(set.ok());
  CHECK(f.workspace->reserved().columns == (*set)->rank_columns);
}

TEST_CASE("A change of kv_b makes room for every head") {
  ManagerFixture f(uint64_t{64} << 20, {}, true);
  REQUIRE(f.Load("a", LoraManifest({TinyChange(f.spec, {WeightRole::kQA, 1}, 5)})).ok());
  const uint64_t row = static_cast<uint64_t>(Columns(5)) * sizeof(float);
  CHECK(f.workspace->charged_bytes() < 8 * 3 * row);
  REQUIRE(f.Load("b", LoraManifest({TinyChange(f.spec, {WeightRole::kKvB, 1}, 5)})).ok());
  CHECK(f.workspace->charged_bytes() >= 8 * 2 * row);
}

TEST_CASE("Replaced experts are packed in the base's formats, or as their files have them") {
  WeightManagerOptions options;
  options.formats.experts = WeightFormat::kInt4;
  options.formats.shared_experts = WeightFormat::kInt8;
  ManagerFixture f(uint64_t{64} << 20, options), kept;
  const AdapterManifest manifest = EsftManifest({{1, -1}, {1, 2}, {2, 0}});
  for (ManagerFixture* fixture : {&f, &kept}) REQUIRE(fixture->Load("a", manifest, 7).ok());
  const auto set = f.Acquire("a").value(), own = kept.Acquire("a").value();
  const auto tables = f.manager->Tables();
  CHECK(HoldsExpert(f.spec, tables->tables[static_cast<size_t>(RoutedMap(1))].slots[4], 7, 1, 2, DType::kBF16,
                    WeightFormat::kInt4));
  CHECK(HoldsExpert(f.spec, tables->tables[static_cast<size_t>(RoutedMap(2))].slots[4], 7, 2, 0, DType::kBF16,
                    WeightFormat::kInt4));
  CHECK(HoldsExpert(f.spec, set->members[0].weights->layers[1].shared, 7, 1, -1, DType::kBF16,
                    WeightFormat::kInt8));
  CHECK(HoldsExpert(kept.spec, own->members[0].weights->layers[1].shared, 7, 1, -1));
  CHECK(f.manager->Info("a")->tensor_bytes < kept.manager->Info("a")->tensor_bytes);
}

TEST_CASE("An adapter is packed by as many threads as the options say") {
  WeightManagerOptions options;
  options.load_threads = 3;
  ManagerFixture f(uint64_t{64} << 20, options);
  const auto world = std::make_shared<TinyWorld>();
  std::atomic<int> reading{0};
  world->on_read = [&](int64_t read) {
    if (read > 3) return;
    ++reading;
    Await([&] { return reading == 3; });  // each of the first three reads meets the other two
  };
  CHECK(f.Load("a", EsftManifest({{1, 0}, {1, 1}, {2, 0}}), 1, world).ok());
}

}  // namespace
}  // namespace guildhall
