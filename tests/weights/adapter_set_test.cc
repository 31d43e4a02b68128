#include "weights/adapter_set.h"

#include <catch2/catch.hpp>

namespace guildhall {
namespace {

const std::byte kSomething{};

// Two layers.
std::shared_ptr<AdapterWeights> Empty() {
  auto weights = std::make_shared<AdapterWeights>();
  weights->layers.resize(2);
  return weights;
}

LowRank SomeChange() {
  LowRank change;
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

TEST_CASE("One adapter's experts become a map, and only where it replaces any") {
  const auto set = MakeAdapterSet({{"a", 1, 1.0f, Replacing({1, 3}, {9, 5})}}, 4);
  CHECK(set->layers[0].expert_map.empty());
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{0, 9, 2, 5});
  CHECK(set->members.size() == 1);
}

TEST_CASE("Two adapters that replace different experts share a map") {
  const auto set =
      MakeAdapterSet({{"a", 1, 1.0f, Replacing({0}, {4})}, {"b", 2, 1.0f, Replacing({2, 3}, {6, 5})}}, 4);
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{4, 1, 6, 5});
}

TEST_CASE("Low-rank terms stand in the members' order with the members' factors, columns add up") {
  auto first = Empty(), second = Empty(), esft = Replacing({0}, {4});
  first->rank_columns = 16;
  second->rank_columns = 48;
  for (const auto& weights : {first, second}) {
    weights->layers[0].products[0] = weights->layers[1].dense_low_rank.down = SomeChange();
    weights->layers[1].experts_low_rank.resize(4);
    weights->layers[1].k_up = weights->layers[1].v_up = {SomeChange(), SomeChange()};
    weights->head = weights->embedding = SomeChange();
  }
  const auto set = MakeAdapterSet({{"a", 1, 0.5f, first}, {"e", 2, 1.0f, esft}, {"b", 3, -2.0f, second}}, 4);
  REQUIRE(set->layers[0].products[0].size() == 2);
  CHECK(set->layers[0].products[0][0].change == &first->layers[0].products[0]);
  CHECK(set->layers[0].products[0][0].scale == 0.5f);
  CHECK(set->layers[0].products[0][1].change == &second->layers[0].products[0]);
  CHECK(set->layers[0].products[0][1].scale == -2.0f);
  CHECK(set->layers[0].products[1].empty());
  REQUIRE(set->layers[1].k_up.size() == 2);
  CHECK(set->layers[1].k_up[1].change == second->layers[1].k_up.data());
  CHECK(set->layers[1].v_up[0].change == first->layers[1].v_up.data());
  CHECK(set->layers[1].experts[0].change == first->layers[1].experts_low_rank.data());
  CHECK(set->layers[1].dense.size() == 2);
  CHECK(set->layers[1].shared_terms.empty());
  CHECK(set->head.size() == 2);
  CHECK(set->embedding[1].scale == -2.0f);
  CHECK(set->rank_columns == 64);
}

}  // namespace
}  // namespace guildhall
