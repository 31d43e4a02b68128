#include "weights/adapter_set.h"

#include <catch2/catch.hpp>
#include <cmath>

namespace guildhall {
namespace {

const std::byte kSomething{};
const float kGain = 1.0f;

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

std::string Refusal(std::vector<AdapterSet::Member> members) {
  const auto set = MakeAdapterSet(std::move(members), 4);
  REQUIRE(set.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(set.status().message());
}

TEST_CASE("One adapter's experts become a map, and only where it replaces any") {
  const auto set = MakeAdapterSet({{"a", 1, 1.0f, Replacing({1, 3}, {9, 5})}}, 4).value();
  CHECK(set->layers[0].expert_map.empty());
  CHECK(set->layers[1].expert_map == std::vector<int32_t>{0, 9, 2, 5});
  CHECK(set->members.size() == 1);
}

TEST_CASE("Two adapters that replace different experts share a map") {
  const auto set =
      MakeAdapterSet({{"a", 1, 1.0f, Replacing({0}, {4})}, {"b", 2, 1.0f, Replacing({2, 3}, {6, 5})}}, 4)
          .value();
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
  const auto set =
      MakeAdapterSet({{"a", 1, 0.5f, first}, {"e", 2, 1.0f, esft}, {"b", 3, -2.0f, second}}, 4).value();
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

TEST_CASE("Two replacements of the same part are refused by name") {
  CHECK(
      Refusal({{"a", 1, 1.0f, Replacing({0, 2}, {4, 5})}, {"b", 2, 1.0f, Replacing({2}, {6})}}) ==
      "adapters 'a' and 'b' cannot be combined: both replace expert 2 of layer 1; use one of them, or another"
      " combination");
  auto shared = Empty(), other = Empty();
  shared->layers[0].shared.gate_up.data = other->layers[0].shared.gate_up.data = &kSomething;
  CHECK(Refusal({{"a", 1, 1.0f, shared}, {"b", 2, 1.0f, other}}) ==
        "adapters 'a' and 'b' cannot be combined: both replace the shared experts of layer 0; use one of "
        "them, or"
        " another combination");
}

TEST_CASE("Factors that mean nothing are refused") {
  const std::string nan = Refusal({{"a", 1, std::nanf(""), Empty()}});
  CHECK(nan == "adapter 'a': the factor is not a finite number");
  CHECK(Refusal({{"a", 1, 0.5f, Replacing({0}, {4})}}) ==
        "adapter 'a' replaces experts, which only has a meaning with the factor 1; found 0.5");
  auto dora = Empty();
  dora->layers[1].products[3] = SomeChange();
  dora->layers[1].products[3].gain = &kGain;
  CHECK(Refusal({{"a", 1, 2.0f, dora}}) ==
        "adapter 'a' is DoRA, which is served with the factor 1 alone; found 2");
  CHECK(MakeAdapterSet({{"a", 1, 1.0f, dora}}, 4).ok());
  CHECK(Refusal({{"a", 1, 1.0f, dora}, {"a", 1, 1.0f, dora}}) ==
        "adapter 'a' is named twice: name it once, with one factor");
}

TEST_CASE("DoRA on an expert does not meet another adapter's replacement of it") {
  auto dora = Empty();
  dora->layers[1].experts_low_rank.resize(4);
  dora->layers[1].experts_low_rank[2].down = SomeChange();
  dora->layers[1].experts_low_rank[2].down.gain = &kGain;
  CHECK(
      Refusal({{"d", 1, 1.0f, dora}, {"e", 2, 1.0f, Replacing({2}, {4})}}) ==
      "adapters 'e' and 'd' cannot be combined: the first replaces what the second scales (DoRA), expert 2 of"
      " layer 1; use one of them, or another combination");
  CHECK(MakeAdapterSet({{"d", 1, 1.0f, dora}, {"e", 2, 1.0f, Replacing({1}, {4})}}, 4).ok());
  // Plain LoRA adds to whatever stands there.
  dora->layers[1].experts_low_rank[2].down.gain = nullptr;
  CHECK(MakeAdapterSet({{"d", 1, 1.0f, dora}, {"e", 2, 1.0f, Replacing({2}, {4})}}, 4).ok());
}

TEST_CASE("DoRA shares no module with another adapter of its task") {
  const auto on = [](int64_t out_begin, bool dora) {
    auto weights = Empty();
    LowRank& change = weights->layers[1].products[0];
    change = SomeChange();
    change.parts = {{.out_begin = out_begin, .out = 8, .rank_begin = 0, .rank = 2}};
    if (dora) change.gain = &kGain;
    return weights;
  };
  // q and v are modules of one product, and do not meet.
  CHECK(MakeAdapterSet({{"a", 1, 1.0f, on(0, true)}, {"b", 2, 1.0f, on(8, false)}}, 4).ok());
  CHECK(MakeAdapterSet({{"a", 1, 1.0f, on(0, false)}, {"b", 2, 0.5f, on(0, false)}}, 4).ok());
  for (const bool both : {false, true}) {
    const std::string refusal = Refusal({{"a", 1, 1.0f, on(4, true)}, {"b", 2, 1.0f, on(8, both)}});
    CHECK(refusal.find("adapters 'a' and 'b' cannot be combined") == 0);
    CHECK(refusal.find("DoRA") != std::string::npos);
  }
  CHECK_FALSE(MakeAdapterSet({{"b", 2, 1.0f, on(8, false)}, {"a", 1, 1.0f, on(4, true)}}, 4).ok());
}

}  // namespace
}  // namespace guildhall
