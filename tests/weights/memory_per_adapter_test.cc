// What adapters of the published shapes take in pages of 2 MiB, without taking it.
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <set>

#include "base/json.h"
#include "tests/weights/manager_fixture.h"
#include "weights/adapter_memory.h"
#include "weights/adapter_plan.h"

namespace guildhall {
namespace {

constexpr size_t kPage = size_t{2} << 20;

// DeepSeek-V2-Lite, on which ESFT-vanilla-lite is built, as far as experts go.
ModelSpec LiteSpec() {
  ModelSpec spec;
  spec.hidden = 2048;
  spec.layers.resize(27, {.moe = true});
  spec.layers[0].moe = false;
  spec.gate.experts = 64;
  spec.expert_width = 1408;
  return spec;
}

// An expert_cfg.json.
AdapterManifest ReadConfig(const std::string& name) {
  std::ifstream file(std::string(GUILDHALL_SOURCE_DIR) + "/tests/weights/data/" + name + ".json");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const Json json = ParseJson(text, name).value();
  std::vector<std::pair<int, int>> experts;
  for (const auto& [layer, ids] : json.at("experts").items()) {
    for (const Json& id : ids) experts.emplace_back(std::stoi(layer), id.get<int>());
  }
  std::sort(experts.begin(), experts.end());
  return EsftManifest(experts);
}

// Replaced experts per layer, the most and the mean, of the ten published adapters whose counts are known.
struct Published {
  int most;
  double mean;
};
const std::vector<Published> kPublished{{12, 7.04}, {9, 6.12},  {12, 9.50}, {8, 7.12},  {11, 7.73},
                                        {8, 5.15},  {12, 7.35}, {10, 6.58}, {13, 4.69}, {6, 3.85}};

// Random counts of 26 layers with the published maximum and sum, and random experts.
AdapterManifest Generated(const Published& published, std::mt19937& random) {
  std::vector<int> counts(26, 1);
  counts[random() % 26] = published.most;
  int rest = static_cast<int>(published.mean * 26 + 0.5) - published.most - 25;
  while (rest > 0) {
    int& count = counts[random() % 26];
    if (count == published.most) continue;
    ++count;
    --rest;
  }
  std::vector<std::pair<int, int>> experts;
  for (int layer = 0; layer < 26; ++layer) {
    std::set<int> ids;
    while (ids.size() < static_cast<size_t>(counts[static_cast<size_t>(layer)])) {
      ids.insert(static_cast<int>(random() % 64));
    }
    for (const int id : ids) experts.emplace_back(layer + 1, id);
  }
  return EsftManifest(experts);
}

// Adapters in memory, and how much of it is theirs.
class World {
 public:
  explicit World(WeightFormats formats = {}) : formats_(formats) {}
  size_t Add(const AdapterManifest& manifest) {
    AdapterPlan plan = PlanAdapter(spec_, FixtureBackend(), manifest, nullptr, {formats_, 0}).value();
    REQUIRE(memory_.Allocate(plan.runs).ok());
    adapters_.push_back(std::move(plan));
    return adapters_.size() - 1;
  }
  void Remove(size_t index) {
    memory_.Free(adapters_[index].runs);
    adapters_.erase(adapters_.begin() + static_cast<std::ptrdiff_t>(index));
  }
  // The promise: 1.02 x the tensors' bytes and a page for each range that the adapter has tensors in.
  bool Keeps(size_t index) const {
    const AdapterPlan& plan = adapters_[index];
    std::set<size_t> ranges;
    for (const Run& run : plan.runs) ranges.insert(run.range);
    const double most =
        1.02 * static_cast<double>(plan.tensor_bytes) + static_cast<double>(ranges.size() * kPage);
    return static_cast<double>(memory_.MappedShare(plan.runs)) <= most;
  }
  double Overhead() const {
    uint64_t tensors = 0;
    for (const AdapterPlan& plan : adapters_) tensors += plan.tensor_bytes;
    return static_cast<double>(memory_.mapped_bytes()) / static_cast<double>(tensors);
  }
  size_t size() const { return adapters_.size(); }
  uint64_t tensor_bytes(size_t index) const { return adapters_[index].tensor_bytes; }
  uint64_t mapped_bytes() const { return memory_.mapped_bytes(); }
  ~World() {
    while (!adapters_.empty()) Remove(adapters_.size() - 1);
  }

 private:
  const WeightFormats formats_;
  const ModelSpec spec_ = LiteSpec();
  std::shared_ptr<CountingPageMemory::Counts> counts_ = std::make_shared<CountingPageMemory::Counts>();
  CountingPageMemory pages_{kPage, counts_};
  AdapterMemory memory_{pages_, std::make_shared<ByteBudget>(std::numeric_limits<uint64_t>::max()),
                        AdapterRanges(spec_)};
  std::vector<AdapterPlan> adapters_;
};

TEST_CASE("The published configurations take the bytes of their experts and hardly more") {
  World world;
  size_t experts = 0;
  for (const std::string name : {"intent", "law", "summary", "translation"}) {
    const AdapterManifest manifest = ReadConfig(name);
    REQUIRE(manifest.replaced.size() > 26);
    experts += manifest.replaced.size();
    const size_t index = world.Add(manifest);
    CHECK(world.tensor_bytes(index) == manifest.replaced.size() * 8650752 * 2);
    for (size_t i = 0; i <= index; ++i) CHECK(world.Keeps(i));
  }
  CHECK(world.mapped_bytes() >= experts * 8650752 * 2);
  CHECK(world.Overhead() < 1.02);
}

TEST_CASE("One to twenty adapters at the published counts keep the promise, each and together") {
  for (uint32_t seed = 0; seed < 3; ++seed) {
    std::mt19937 random(seed);
    World world;
    for (size_t n = 0; n < 20; ++n) {
      world.Add(Generated(kPublished[n % kPublished.size()], random));
      for (size_t i = 0; i <= n; ++i) REQUIRE(world.Keeps(i));
      // Less than a page at the end of each of 52 ranges, over three gigabytes and more.
      if (n > 0) CHECK(world.Overhead() < 1.02);
    }
    CHECK(world.Overhead() < 1.005);
  }
}

TEST_CASE("Over quantized experts the promise holds for their bytes") {
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
    World world({.experts = format});
    const AdapterManifest manifest = ReadConfig("law");
    const size_t index = world.Add(manifest);
    INFO(WeightFormatName(format));
    CHECK(static_cast<double>(world.tensor_bytes(index)) ==
          static_cast<double>(manifest.replaced.size()) * 8650752 * BitsPerWeight(format) / 8);
    CHECK(world.Keeps(index));
  }
}

TEST_CASE("Holes that unloaded adapters leave are filled by others") {
  std::mt19937 random(7);
  World world;
  double worst = 0.0;
  for (int step = 0; step < 200; ++step) {
    if (world.size() < 5 || (world.size() < 20 && random() % 2 == 0)) {
      world.Add(Generated(kPublished[random() % kPublished.size()], random));
    } else {
      world.Remove(random() % world.size());
    }
    worst = std::max(worst, world.Overhead());
    for (size_t i = 0; i < world.size(); ++i) REQUIRE(world.Keeps(i));
  }
  INFO("worst overhead " << worst);
  CHECK(worst < 1.05);
}

TEST_CASE("Padding takes its places whether they are filled or not") {
  constexpr size_t kSmallPage = 4096;
  const ModelSpec spec = TinySpec();
  const auto planned = [&](const AdapterManifest& manifest, int padded_experts) {
    return PlanAdapter(spec, FixtureBackend(), manifest, nullptr, {.padded_experts = padded_experts});
  };
  const auto counts = std::make_shared<CountingPageMemory::Counts>();
  CountingPageMemory pages(kSmallPage, counts);
  AdapterMemory memory(pages, std::make_shared<ByteBudget>(std::numeric_limits<uint64_t>::max()),
                       AdapterRanges(spec));
  std::vector<Run> full = planned(EsftManifest({{1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {2, 2}}), 0)->runs;
  REQUIRE(memory.Allocate(full).ok());
  const uint64_t full_bytes = memory.mapped_bytes();
  memory.Free(full);
  std::vector<Run> padded = planned(EsftManifest({{1, 0}}), 3)->runs;
  REQUIRE(memory.Allocate(padded).ok());
  CHECK(memory.mapped_bytes() == full_bytes);
  CHECK(planned(EsftManifest({{1, 0}, {1, 1}, {1, 2}, {1, 3}}), 3).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  std::vector<Run> lora = planned(LoraManifest({TinyChange(spec, {WeightRole::kO, 0}, 2)}), 3)->runs;
  REQUIRE(memory.Allocate(lora).ok());
  CHECK(memory.mapped_bytes() == full_bytes + kSmallPage);
  memory.Free(padded);
  memory.Free(lora);
}

}  // namespace
}  // namespace guildhall
