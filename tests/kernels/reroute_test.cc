// Rows go to the experts that their sets name, and entries are grouped by slot.
#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/kernels/kernel_test.h"
#include "tests/kernels/test_router.h"
#include "tests/kernels/test_sets.h"

namespace guildhall {

TEST_CASE("route: the published rerouting example of ExpertWeave (figure 4)") {
  // 64 experts, top-6, 2 tasks with room for 8: task 0 tunes {3, 14, 47}, task 1 {5, 13, 14, 27, 35, 57, 59}.
  std::vector<int32_t> map(128);
  for (int i = 0; i < 128; ++i) map[static_cast<size_t>(i)] = i % 64;
  int32_t next = 64;
  for (size_t e : {3, 14, 47}) map[e] = next++;
  next = 72;
  for (size_t e : {5, 13, 14, 27, 35, 57, 59}) map[64 + e] = next++;
  struct Row {
    int32_t task;
    std::vector<int32_t> in, out;
  };
  const std::vector<Row> rows{{-1, {15, 14, 45, 47, 3, 57}, {15, 14, 45, 47, 3, 57}},
                              {-1, {35, 1, 32, 43, 11, 54}, {35, 1, 32, 43, 11, 54}},
                              {0, {31, 13, 62, 12, 34, 14}, {31, 13, 62, 12, 34, 65}},
                              {0, {26, 47, 31, 3, 58, 60}, {26, 66, 31, 64, 58, 60}},
                              {-1, {30, 14, 58, 46, 50, 44}, {30, 14, 58, 46, 50, 44}},
                              {1, {13, 31, 14, 35, 15, 5}, {73, 31, 74, 76, 15, 72}},
                              {1, {8, 27, 35, 59, 5, 63}, {8, 75, 76, 78, 72, 63}},
                              {1, {35, 59, 52, 58, 7, 37}, {76, 78, 52, 58, 7, 37}},
                              {0, {3, 13, 60, 0, 14, 32}, {64, 13, 60, 0, 65, 32}},
                              {1, {57, 5, 3, 13, 27, 59}, {77, 72, 3, 73, 75, 78}}};
  std::vector<float> scores;
  std::vector<int32_t> tasks, in, out;
  for (const Row& row : rows) {
    std::vector<float> one(64, -1.0f);
    for (size_t j = 0; j < 6; ++j) one[static_cast<size_t>(row.in[j])] = 3.0f - 0.25f * static_cast<float>(j);
    scores.insert(scores.end(), one.begin(), one.end());
    tasks.push_back(row.task);
    in.insert(in.end(), row.in.begin(), row.in.end());
    out.insert(out.end(), row.out.begin(), row.out.end());
  }
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    Router router(*backend, Gate(64, 6));
    router.slots = 80;
    const Routed base = router.Run(scores);
    REQUIRE(base.slot == in);
    router.expert_map = map;
    router.row_set = tasks;
    const Routed routed = router.Run(scores);
    REQUIRE(routed.expert == in);
    REQUIRE(routed.slot == out);
    REQUIRE(SameBits(routed.weight, base.weight));  // rerouting changes no weight
  }
}

TEST_CASE("route groups entries by slot, ascending within a slot") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    // By hand: rows choose {2, 0}, {0, 1}, {2, 1} of 3 experts; slot 3 is nobody's.
    Router small(*backend, Gate(3, 2, GateSpec::Activation::kIdentity));
    small.slots = 4;
    const Routed by_hand = small.Run({2, 1, 3, 3, 2, 1, 0, 1, 2});
    REQUIRE(by_hand.expert == std::vector<int32_t>{2, 0, 0, 1, 2, 1});
    REQUIRE(by_hand.group_begin == std::vector<int32_t>{0, 2, 4, 6, 6});
    REQUIRE(by_hand.group_entry == std::vector<int32_t>{1, 2, 3, 5, 0, 4});

    Router router(*backend, Gate(40, 7));
    router.slots = 90;
    router.expert_map.resize(80);
    for (int i = 0; i < 80; ++i) router.expert_map[static_cast<size_t>(i)] = i < 40 ? 89 - i : i;
    Random random(6);
    for (int row = 0; row < 100; ++row) router.row_set.push_back(static_cast<int32_t>(random.Below(3)) - 1);
    const Routed routed = router.Run(random.Floats(4000));
    std::vector<int32_t> order(700);
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    const auto slot = [&](int32_t entry) { return routed.slot[static_cast<size_t>(entry)]; };
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return slot(a) < slot(b); });
    REQUIRE(routed.group_entry == order);
    for (int32_t s = 0; s <= 90; ++s) {
      const auto below =
          std::count_if(routed.slot.begin(), routed.slot.end(), [&](int32_t other) { return other < s; });
      REQUIRE(routed.group_begin[static_cast<size_t>(s)] == below);
    }
  }
}

TEST_CASE("route of no rows leaves every slot empty") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    REQUIRE(Router(*backend, Gate(3, 2)).Run({}).group_begin == std::vector<int32_t>{0, 0, 0, 0});
  }
}

TEST_CASE("rows that take no part and experts that a map sends nowhere are in no group and weigh nothing") {
  const GateSpec gate = Gate(6, 2);
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    Router router(*backend, gate);
    router.expert_map = {0, 1, -1, 3, 4, 5};
    router.row_set = {-1, -1, 0};
    router.kv_place = {16, -1, 17};
    // Every row prefers expert 2, then 5.
    std::vector<float> scores;
    for (int row = 0; row < 3; ++row) scores.insert(scores.end(), {0, 0, 4, 0, 0, 3});
    const Routed routed = router.Run(scores);
    CHECK(routed.expert == std::vector<int32_t>{2, 5, -1, -1, 2, 5});
    CHECK(routed.slot == std::vector<int32_t>{2, 5, -1, -1, -1, 5});
    CHECK(routed.weight[2] == 0.0f);
    CHECK(routed.weight[3] == 0.0f);
    CHECK(routed.weight[4] == 0.0f);
    CHECK(routed.weight[5] == routed.weight[1]);
    CHECK(routed.group_begin == std::vector<int32_t>{0, 0, 0, 1, 1, 1, 3});
    CHECK(routed.group_entry[0] == 0);
    CHECK(routed.group_entry[1] == 1);
    CHECK(routed.group_entry[2] == 5);
  }
}

TEST_CASE("rows are grouped by the one slot that their set names") {
  const std::vector<int32_t> row_set{-1, 0, 1, 1, 2};
  const std::vector<int64_t> kv_place{0, 1, -1, 2, 3};
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    TestSets sets(*backend, {}, {{{}}, {{2}}, {{1}}});
    const auto places = OnDevice(*backend, kv_place);
    const auto slot = FilledOnDevice(*backend, 5, int32_t{-7}),
               begin = FilledOnDevice(*backend, 4, int32_t{-7}),
               entry = FilledOnDevice(*backend, 5, int32_t{-7});
    backend->GroupBySet({.sets = sets.Begin(row_set),
                         .expert_map = 0,
                         .kv_place = places.data(),
                         .rows = 5,
                         .slots = 3,
                         .slot = slot.data(),
                         .group_begin = begin.data(),
                         .group_entry = entry.data()});
    CHECK(slot.Read() == std::vector<int32_t>{0, 0, -1, 2, 1});
    CHECK(begin.Read() == std::vector<int32_t>{0, 2, 3, 4});
    auto entries = entry.Read();
    entries.pop_back();
    CHECK(entries == std::vector<int32_t>{0, 1, 4, 3});
  }
}

}  // namespace guildhall
