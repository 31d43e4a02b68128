// Requests, loads, replacements, evictions, pins and a KV cache at once: whoever holds a set reads its own
// weights throughout, and at the end nothing is left.
#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <thread>

#include "absl/time/clock.h"
#include "tests/weights/manager_fixture.h"
#include "weights/product_numbers.h"
#include "weights/weight_manager.h"

namespace guildhall {
namespace {

constexpr uint64_t kSeeds = 3;
const std::vector<std::string> kNames{"a", "b", "c", "d", "e"};

AdapterManifest ManifestOf(const ModelSpec& spec, const std::string& name) {
  if (name == "a") return EsftManifest({{1, 0}, {2, 0}});
  if (name == "b") return EsftManifest({{1, 1}, {2, 1}, {2, -1}});
  if (name == "c") return EsftManifest({{1, 2}, {1, 3}});
  if (name == "d") return EsftManifest({{2, 2}, {2, 3}});
  return LoraManifest({TinyChange(spec, {WeightRole::kQ, 1}, 5), TinyChange(spec, {WeightRole::kO, 2}, 20)});
}

// Is every part of the member, as it stands in the tables, made with `seed`?
bool IsOf(const ModelSpec& spec, const AdapterSet& set, size_t member, const ExpertTables& tables,
          uint64_t seed) {
  const AdapterWeights& weights = *set.members[member].weights;
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const LayerAdapter& layer = weights.layers[l];
    for (const int32_t expert : layer.experts) {
      const auto slot = static_cast<size_t>(set.layers[l].expert_map[static_cast<size_t>(expert)]);
      if (!HoldsExpert(spec, tables.tables[static_cast<size_t>(RoutedMap(l))].slots.at(slot), seed,
                       static_cast<int>(l), expert))
        return false;
    }
    if (layer.replaces_shared && !HoldsExpert(spec, layer.shared, seed, static_cast<int>(l), -1)) {
      return false;
    }
    const LowRankPlan& q = layer.products[static_cast<size_t>(Product::kQkv)];
    if (q.empty()) continue;
    std::vector<std::byte> memory;
    const TensorView a =
        TinyTensor(seed, {WeightRole::kQ, static_cast<int>(l)}, 1, DType::kBF16, 5, 32, memory);
    const PackShape shape = PackShape::Stack(WeightFormat::kBF16, 5, 32);
    if (!HoldsPacked(q.a.data, shape, {&a, 1})) return false;
  }
  return true;
}

struct Held {
  std::shared_ptr<const AdapterSet> set;
  std::vector<uint64_t> seeds;  // (members)
};

class Churn {
 public:
  explicit Churn(uint32_t seed) : seed_(seed) {}

  // Each of three readers holds `steps` sets, one after another and several at a time.
  void Run(int steps) {
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < 3; ++i) threads.emplace_back([this, i, steps] { Read(seed_ * 100 + i, steps); });
    std::thread admin([this] { Administer(seed_ * 100 + 50); });
    std::thread kv([this] { KeepKv(seed_ * 100 + 60); });
    for (std::thread& thread : threads) thread.join();
    done_ = true;
    admin.join();
    kv.join();
    CHECK(wrong_ == 0);
    CHECK(f_.manager->budget().wanted_of_kv() == 0);
    for (const AdapterInfo& info : f_.manager->List()) {
      CHECK(info.readers == 0);
      // A load from disk may be under way still, for a request whose deadline passed.
      const auto unloaded = f_.manager->Unload(info.name, info.version, absl::Seconds(30));
      CHECK(unloaded.status() == absl::OkStatus());
    }
    CHECK(f_.manager->List().empty());
    CHECK(f_.manager->mapped_bytes() == 0);
    CHECK(f_.pages->mapped_bytes == 0);
    CHECK(f_.budget->free() == f_.budget->total());
    CHECK(f_.manager->Tables()->tables[static_cast<size_t>(RoutedMap(1))].slots.size() == 4);
    CHECK(f_.manager->Tables()->tables[static_cast<size_t>(RoutedMap(2))].slots.size() == 4);
    CHECK(f_.workspace->reserved().columns == 0);
    CHECK(refused_ > 0);  // or nothing ever left
  }

 private:
  void Read(uint32_t seed, int steps) {
    std::mt19937 random(seed);
    std::vector<Held> held;
    for (int served = 0; served < steps;) {
      std::vector<AdapterUse> uses{{kNames[random() % kNames.size()]}};
      if (random() % 3 == 0) uses.push_back({kNames[random() % kNames.size()]});
      // Who holds some and waits for more may be what the others wait for: nobody waits for long.
      const auto deadline = random() % 4 == 0 ? absl::Now() : absl::Now() + absl::Milliseconds(30);
      auto set = f_.manager->Acquire(uses, deadline);
      if (set.ok()) {
        held.push_back({*std::move(set), {}});
        Identify(held.back());
        ++served;
      } else {
        ++refused_;
      }
      while (held.size() > random() % 4) {
        const size_t victim = random() % held.size();
        Verify(held[victim]);
        held.erase(held.begin() + static_cast<std::ptrdiff_t>(victim));
      }
    }
    for (const Held& one : held) Verify(one);
  }

  void Identify(Held& held) {
    const auto tables = f_.manager->Tables();
    for (size_t m = 0; m < held.set->members.size(); ++m) {
      uint64_t seed = 1;
      while (seed <= kSeeds && !IsOf(f_.spec, *held.set, m, *tables, seed)) ++seed;
      if (seed > kSeeds) ++wrong_;
      held.seeds.push_back(seed);
    }
    if (held.set->rank_columns > f_.workspace->reserved().columns) ++wrong_;
  }

  void Verify(const Held& held) {
    const auto tables = f_.manager->Tables();
    for (size_t m = 0; m < held.seeds.size(); ++m) {
      if (!IsOf(f_.spec, *held.set, m, *tables, held.seeds[m])) ++wrong_;
    }
  }

  void Administer(uint32_t seed) {
    std::mt19937 random(seed);
    while (!done_) {
      const std::string& name = kNames[random() % kNames.size()];
      switch (random() % 8) {
        case 0:
          (void)f_.manager->Unload(name, std::nullopt, absl::Milliseconds(random() % 3));
          break;
        case 1:
          (void)f_.manager->Pin(name, true);
          break;
        case 2:
        case 3:
          for (const std::string& any : kNames) (void)f_.manager->Pin(any, false);
          break;
        case 4:
          (void)f_.manager->List();
          break;
        default: {
          const auto world = std::make_shared<TinyWorld>();
          if (random() % 5 == 0) world->fail_at = 1 + random() % 6;
          LoadRequest request{
              .name = name,
              .open = OpenTiny(f_.spec, ManifestOf(f_.spec, name), 1 + random() % kSeeds, world)};
          request.replace = random() % 2 == 0;
          if (random() % 6 == 0) request.cancel = Stopped();
          (void)f_.manager->Load(request);
        }
      }
    }
    for (const std::string& any : kNames) (void)f_.manager->Pin(any, false);
  }

  // Takes what is free, and gives back what is wanted.
  void KeepKv(uint32_t seed) {
    std::mt19937 random(seed);
    uint64_t taken = 0;
    while (!done_) {
      const uint64_t wanted = std::min(taken, f_.budget->wanted_of_kv());
      f_.budget->Give(ByteBudget::Holder::kKvCache, wanted);
      taken -= wanted;
      if (wanted == 0 && random() % 4 == 0 && f_.budget->TryTake(ByteBudget::Holder::kKvCache, 5000))
        taken += 5000;
      if (f_.pages->mapped_bytes + taken > f_.budget->total()) ++wrong_;
      std::this_thread::yield();
    }
    f_.budget->Give(ByteBudget::Holder::kKvCache, taken);
  }

  const uint32_t seed_;
  // Room for about half of all.
  ManagerFixture f_{
      uint64_t{18} * ManagerFixture::kPage,
      {.load_threads = 2, .kv_patience = absl::Milliseconds(2), .room_wait = absl::Milliseconds(10)}};
  std::atomic<bool> done_{false};
  std::atomic<int64_t> wrong_{0}, refused_{0};
};

TEST_CASE("Churn leaves nothing and disturbs nobody") {
  for (uint32_t seed = 1; seed <= 3; ++seed) Churn(seed).Run(150);
}

}  // namespace
}  // namespace guildhall
