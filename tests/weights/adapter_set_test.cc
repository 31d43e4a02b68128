#include "weights/adapter_set.h"

#include <catch2/catch.hpp>

#include "tests/weights/manager_fixture.h"
#include "weights/product_numbers.h"

namespace guildhall {
namespace {

const std::byte kSomething{};

// Two layers.
std::shared_ptr<AdapterWeights> Empty() {
  auto weights = std::make_shared<AdapterWeights>();
  weights->layers.resize(2);
  return weights;
}

LowRankPlan SomeChange() {
  LowRankPlan change;
  change.a = {3, 8, WeightFormat::kF32, &kSomething};
  return change;
}

std::shared_ptr<AdapterWeights> Replacing(std::vector<int32_t> experts, std::vector<int32_t> slots) {
  auto weights = Empty();
  weights->layers[1].experts = std::move(experts);
  weights->layers[1].slots = std::move(slots);
  weights->layers[1].replaced.resize(weights->layers[1].experts.size());
  return weights;
}

std::shared_ptr<AdapterSet> Make(std::vector<AdapterSet::Member> members) {
  for (const AdapterSet::Member& member : members) {
    auto& weights = const_cast<AdapterWeights&>(*member.weights);
    weights.descriptors = DescribeLowRank(weights, FixtureBackend().memory()).value();
  }
  return MakeAdapterSet(std::move(members), 4, FixtureBackend().memory()).value();
}

TEST_CASE("One adapter's experts become a map, and only where it replaces any") {
  const auto set = Make({{"a", 1, 1.0f, Replacing({1, 3}, {9, 5})}});
  CHECK(set->layers[0].expert_map.empty());
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{0, 9, 2, 5});
  CHECK(set->members.size() == 1);
}

TEST_CASE("Two adapters that replace different experts share a map") {
  const auto set = Make({{"a", 1, 1.0f, Replacing({0}, {4})}, {"b", 2, 1.0f, Replacing({2, 3}, {6, 5})}});
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{4, 1, 6, 5});
}

TEST_CASE("Low-rank terms stand in the members' order with the members' factors, columns add up") {
  auto first = Empty(), second = Empty(), esft = Replacing({0}, {4});
  first->rank_columns = 16;
  second->rank_columns = 48;
  for (const auto& weights : {first, second}) {
    weights->layers[0].products[0] = weights->layers[1].dense_low_rank.down = SomeChange();
    weights->layers[1].experts_low_rank.resize(4);
    weights->layers[1].experts_low_rank[2].gate_up = SomeChange();
    weights->layers[1].k_up = weights->layers[1].v_up = {SomeChange(), SomeChange()};
    weights->head = weights->embedding = SomeChange();
  }
  const auto set = Make({{"a", 1, 0.5f, first}, {"e", 2, 1.0f, esft}, {"b", 3, -2.0f, second}});
  const auto terms = [&](int32_t product) { return set->products[static_cast<size_t>(product)]; };
  const auto change = [](const auto& weights, int32_t product) {
    for (const ProductChange& one : weights->descriptors.changes) {
      if (one.product == product) return one.change;
    }
    return static_cast<const LowRank*>(nullptr);
  };
  for (const int32_t product :
       {kHeadNumber, kEmbeddingNumber, ProductNumber(0, Product::kQkv), ProductNumber(1, Product::kKUp),
        ProductNumber(1, Product::kVUp), ProductNumber(1, Product::kExpertGateUp),
        ProductNumber(1, Product::kDenseDown)}) {
    INFO(product);
    REQUIRE(terms(product).size() == 2);
    CHECK(terms(product)[0].change == change(first, product));
    CHECK(terms(product)[0].scale == 0.5f);
    CHECK(terms(product)[1].change == change(second, product));
    CHECK(terms(product)[1].scale == -2.0f);
    // As ops read them.
    const auto read = ReadFromDevice(set->table.products + product, 1).front();
    REQUIRE(read.count == 2);
    CHECK(ReadFromDevice(read.terms, 2)[1].change == change(second, product));
  }
  CHECK(terms(ProductNumber(0, Product::kVClipped)).empty());
  CHECK(terms(ProductNumber(1, Product::kExpertDown)).empty());
  CHECK(ReadFromDevice(set->table.products + ProductNumber(1, Product::kSharedDown), 1).front().empty());
  // Of the experts only one is changed, and heads have changes one by one.
  const auto experts = ReadFromDevice(terms(ProductNumber(1, Product::kExpertGateUp))[0].change, 4);
  CHECK(experts[1].empty());
  CHECK(experts[2].a.data == &kSomething);
  CHECK(ReadFromDevice(terms(ProductNumber(1, Product::kKUp))[1].change, 2)[1].a.out == 3);
  CHECK(set->rank_columns == 64);
}

TEST_CASE("A set's maps are there for ops, shared experts among them") {
  auto esft = Replacing({1, 3}, {9, 5});
  esft->layers[0].replaces_shared = true;
  esft->layers[0].shared.gate_up.data = &kSomething;
  esft->layers[0].shared_slot = 2;
  const auto set = Make({{"a", 1, 1.0f, esft}});
  const auto map = [&](int32_t number) { return ReadFromDevice(set->table.expert_maps + number, 1).front(); };
  CHECK(map(RoutedMap(0)) == nullptr);
  REQUIRE(map(SharedMap(0)) != nullptr);
  CHECK(ReadFromDevice(map(SharedMap(0)), 1).front() == 2);
  REQUIRE(map(RoutedMap(1)) != nullptr);
  CHECK(ReadFromDevice(map(RoutedMap(1)), 4) == std::vector<int32_t>{0, 9, 2, 5});
  CHECK(map(SharedMap(1)) == nullptr);
}

}  // namespace
}  // namespace guildhall
