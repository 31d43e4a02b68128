#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/kernels/gate_reference.h"
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/test_sets.h"

namespace guildhall {
namespace {

using Activation = GateSpec::Activation;

struct Routed {
  std::vector<int32_t> expert, slot, group_begin, group_entry;
  std::vector<float> weight;
};

// Routes rows of given scores: with the identity as the router's matrix, x is the scores.
class Router {
 public:
  Router(Backend& backend, const GateSpec& gate) : backend_(backend), gate_(gate) {
    const auto n = static_cast<size_t>(gate.experts);
    std::vector<float> identity(n * n);
    for (size_t i = 0; i < n; ++i) identity[i * n + i] = 1.0f;
    const TensorView view{
        DType::kF32, {gate.experts, gate.experts}, reinterpret_cast<const std::byte*>(identity.data())};
    const PackShape shape = PackShape::Stack(WeightFormat::kF32, gate.experts, gate.experts);
    packed_.resize(backend.PackedBytes(shape) + 64);
    auto* aligned = packed_.data() + (64 - reinterpret_cast<uintptr_t>(packed_.data()) % 64) % 64;
    backend.Pack(shape, {&view, 1}, aligned);
    matrix_ = shape.At(aligned);
  }

  std::vector<float> bias;
  std::vector<int32_t> expert_map, row_set;
  std::vector<int64_t> kv_place;  // empty: all rows take part
  int64_t slots = 0;              // 0: as many as experts

  Routed Run(const std::vector<float>& scores) {
    const auto rows = static_cast<int64_t>(scores.size()) / gate_.experts;
    const auto entries = static_cast<size_t>(rows * gate_.k);
    Routed out;
    out.expert.assign(entries, -7);
    out.slot.assign(entries, -7);
    out.weight.assign(entries, -7.0f);
    out.group_entry.assign(entries, -7);
    RouteArgs args{};
    args.x = scores.data();
    args.w = matrix_;
    args.selection_bias = bias.empty() ? nullptr : bias.data();
    args.gate = gate_;
    std::vector<std::vector<const int32_t*>> maps;  // one per set
    for (size_t i = 0; i < expert_map.size(); i += static_cast<size_t>(gate_.experts))
      maps.push_back({&expert_map[i]});
    TestSets sets({}, maps);
    if (!row_set.empty()) args.sets = sets.Begin(backend_, row_set);
    args.expert_map = 0;
    args.kv_place = kv_place.empty() ? nullptr : kv_place.data();
    args.rows = rows;
    args.x_stride = gate_.experts;
    args.slots = slots == 0 ? gate_.experts : slots;
    out.group_begin.assign(static_cast<size_t>(args.slots + 1), -7);
    args.expert = out.expert.data();
    args.slot = out.slot.data();
    args.weight = out.weight.data();
    args.group_begin = out.group_begin.data();
    args.group_entry = out.group_entry.data();
    backend_.Route(args);
    return out;
  }

 private:
  Backend& backend_;
  GateSpec gate_;
  std::vector<std::byte> packed_;
  Matrix matrix_;
};

GateSpec Gate(int experts, int k, Activation activation = Activation::kSoftmaxAll) {
  GateSpec gate;
  gate.experts = experts;
  gate.k = k;
  gate.activation = activation;
  return gate;
}

GateSpec Grouped(GateSpec gate, int groups, int kept, GateSpec::GroupScore score) {
  gate.selection = GateSpec::Selection::kGroupLimitedTopK;
  gate.groups = groups;
  gate.groups_kept = kept;
  gate.group_score = score;
  return gate;
}

// Random scores on which no decision is closer than what fp32 tells apart.
std::vector<float> ClearScores(const GateSpec& gate, const std::vector<float>& bias, Random& random) {
  while (true) {
    auto scores = random.Floats(gate.experts);
    for (float& score : scores) score *= 4.0f;
    if (ReferenceGate(gate, scores, bias).gap > 1e-6) return scores;
  }
}

void CheckGate(GateSpec gate) {
  Random random(static_cast<uint64_t>(gate.experts * 100 + gate.k));
  std::vector<float> bias;
  if (gate.selection_bias) bias = random.Floats(gate.experts);
  const int64_t rows = 20;
  std::vector<float> scores;
  std::vector<int32_t> experts;
  std::vector<double> weights;
  for (int64_t row = 0; row < rows; ++row) {
    const auto one = ClearScores(gate, bias, random);
    const GateChoice choice = ReferenceGate(gate, one, bias);
    scores.insert(scores.end(), one.begin(), one.end());
    experts.insert(experts.end(), choice.expert.begin(), choice.expert.end());
    weights.insert(weights.end(), choice.weight.begin(), choice.weight.end());
  }
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    Router router(*backend, gate);
    router.bias = bias;
    const Routed routed = router.Run(scores);
    INFO(isa << ", experts " << gate.experts << ", k " << gate.k);
    REQUIRE(routed.expert == experts);
    REQUIRE(routed.slot == experts);
    RequireClose(routed.weight, weights, 2e-5, 1e-7);
  }
}

}  // namespace

TEST_CASE("route: softmax over all, top-k, from 1 to 512 experts") {
  for (int experts : {1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 60, 64, 128, 160}) {
    for (int k : {1, 2, 4, 6, 8}) {
      if (k <= experts) CheckGate(Gate(experts, k));
    }
  }
  CheckGate(Gate(512, 1));
}

TEST_CASE("route: every activation with and without normalisation and scale") {
  for (Activation activation :
       {Activation::kSoftmaxAll, Activation::kSoftmaxSelected, Activation::kSigmoid, Activation::kIdentity}) {
    for (bool normalize : {false, true}) {
      GateSpec gate = Gate(37, 5, activation);
      gate.normalize = normalize;
      gate.epsilon = normalize ? 1e-3f : 0.0f;
      gate.scale = 2.5f;
      // A sum of raw scores may be near 0, which tells nothing about the op.
      if (activation == Activation::kIdentity && normalize) gate.epsilon = 100.0f;
      CheckGate(gate);
    }
  }
}

TEST_CASE("route: k as large as the number of experts orders them all") {
  for (int experts : {1, 5, 16, 33}) {
    GateSpec gate = Gate(experts, experts, Activation::kSigmoid);
    gate.normalize = true;
    CheckGate(gate);
    CheckGate(Gate(experts, experts, Activation::kSoftmaxSelected));
  }
}

TEST_CASE("route: a selection bias changes who is chosen and no weight") {
  GateSpec gate = Gate(64, 6, Activation::kSigmoid);
  gate.selection_bias = true;
  gate.normalize = true;
  gate.epsilon = 1e-20f;
  gate.scale = 2.5f;
  CheckGate(gate);
}

TEST_CASE("route: groups ranked by their best expert and by the sum of their two best") {
  for (auto score : {GateSpec::GroupScore::kMax, GateSpec::GroupScore::kSumOfTop2}) {
    CheckGate(Grouped(Gate(160, 6), 8, 3, score));
    CheckGate(Grouped(Gate(64, 6), 8, 1, score));
    CheckGate(Grouped(Gate(12, 4), 3, 2, score));
    CheckGate(Grouped(Gate(6, 6), 3, 3, score));
    GateSpec gate = Grouped(Gate(256, 8, Activation::kSigmoid), 8, 4, score);
    gate.selection_bias = true;
    gate.normalize = true;
    CheckGate(gate);
  }
}

TEST_CASE("route by hand: Mixtral's softmax, top-2, divided by the sum") {
  GateSpec gate = Gate(4, 2);
  gate.normalize = true;
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    // Softmax weights e^0 : e^1 : e^2 : e^3, so e^3 / (e^3 + e^2) = 1 / (1 + 1/e).
    const Routed routed = Router(*backend, gate).Run({0, 3, 1, 2});
    REQUIRE(routed.expert == std::vector<int32_t>{1, 3});
    REQUIRE(routed.weight[0] == Approx(0.7310585786).epsilon(1e-6));
    REQUIRE(routed.weight[1] == Approx(0.2689414214).epsilon(1e-6));
  }
}

TEST_CASE(
    "route by hand: DeepSeek-V2 keeps the group with the best expert, DeepSeek-V3 the one with the best "
    "two") {
  const std::vector<float> scores{0.9f, 0.0f, 0.1f, 0.2f, 0.6f, 0.7f, 0.5f, 0.0f};  // groups of 4
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    const GateSpec best = Grouped(Gate(8, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kMax);
    REQUIRE(Router(*backend, best).Run(scores).expert == std::vector<int32_t>{0, 3});
    const GateSpec two = Grouped(Gate(8, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kSumOfTop2);
    REQUIRE(Router(*backend, two).Run(scores).expert == std::vector<int32_t>{5, 4});
  }
}

TEST_CASE("route by hand: with a bias that makes every key negative the kept groups still come first") {
  GateSpec gate = Grouped(Gate(4, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kSumOfTop2);
  gate.selection_bias = true;
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    Router router(*backend, gate);
    router.bias = {-5, -9, -6, -7};
    const Routed routed = router.Run({1, 2, 3, 4});  // keys -4 -7 | -3 -3
    REQUIRE(routed.expert == std::vector<int32_t>{2, 3});
    REQUIRE(routed.weight == std::vector<float>{3, 4});
  }
}

TEST_CASE("route: among equal scores the lower id comes first") {
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    for (Activation activation :
         {Activation::kSoftmaxAll, Activation::kSoftmaxSelected, Activation::kSigmoid}) {
      std::vector<float> scores(33, 0.5f);
      REQUIRE(Router(*backend, Gate(33, 4, activation)).Run(scores).expert ==
              std::vector<int32_t>{0, 1, 2, 3});
      scores[32] = scores[18] = scores[17] = 0.75f;
      const Routed routed = Router(*backend, Gate(33, 5, activation)).Run(scores);
      REQUIRE(routed.expert == std::vector<int32_t>{17, 18, 32, 0, 1});
    }
    const GateSpec groups = Grouped(Gate(8, 3, Activation::kIdentity), 4, 2, GateSpec::GroupScore::kMax);
    REQUIRE(Router(*backend, groups).Run({0, 2, 3, 3, 3, 1, 3, 0}).expert == std::vector<int32_t>{2, 3, 4});
  }
}

TEST_CASE("route: scores far apart neither overflow nor vanish into a NaN") {
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    const std::vector<float> scores{-1e30f, 1000.0f, -1000.0f, 999.0f};
    const Routed all = Router(*backend, Gate(4, 3)).Run(scores);
    REQUIRE(all.expert == std::vector<int32_t>{1, 3, 0});
    REQUIRE(all.weight[0] == Approx(0.7310585786).epsilon(1e-6));
    REQUIRE(all.weight[2] == 0.0f);
    const Routed sigmoid = Router(*backend, Gate(4, 4, Activation::kSigmoid)).Run(scores);
    REQUIRE(sigmoid.expert == std::vector<int32_t>{1, 3, 0, 2});
    REQUIRE(sigmoid.weight == std::vector<float>{1, 1, 0, 0});
  }
}

TEST_CASE("route: a broken row keeps its NaN to itself and still names different experts") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    for (Activation activation : {Activation::kSoftmaxAll, Activation::kSigmoid}) {
      Router router(*backend, Gate(5, 3, activation));
      const std::vector<float> good{0, 1, 2, 3, 4};
      auto rows = good;
      rows.insert(rows.end(), 5, nan);
      rows.insert(rows.end(), good.begin(), good.end());
      const Routed alone = router.Run(good), routed = router.Run(rows);
      REQUIRE(std::vector<int32_t>(routed.expert.begin() + 3, routed.expert.begin() + 6) ==
              std::vector<int32_t>{0, 1, 2});
      REQUIRE(std::isnan(routed.weight[3]));
      REQUIRE(SameBits({routed.weight.data(), 3}, alone.weight));
      REQUIRE(SameBits({routed.weight.data() + 6, 3}, alone.weight));
    }
  }
}

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
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
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
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    // By hand: rows choose {2, 0}, {0, 1}, {2, 1} of 3 experts; slot 3 is nobody's.
    Router small(*backend, Gate(3, 2, Activation::kIdentity));
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
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    REQUIRE(Router(*backend, Gate(3, 2)).Run({}).group_begin == std::vector<int32_t>{0, 0, 0, 0});
  }
}

TEST_CASE("rows that take no part and experts that a map sends nowhere are in no group and weigh nothing") {
  const GateSpec gate = Gate(6, 2);
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
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

TEST_CASE("a row of route has the same bits alone, in any batch and on 1 to 3 threads") {
  GateSpec gate = Grouped(Gate(64, 6, Activation::kSigmoid), 8, 4, GateSpec::GroupScore::kSumOfTop2);
  gate.normalize = true;
  Random random(8);
  const auto scores = random.Floats(300 * 64);
  for (const std::string& isa : TestIsas()) {
    const auto first = MakeTestBackend(isa, 1);
    const Routed together = Router(*first, gate).Run(scores);
    for (int threads = 1; threads <= 3; ++threads) {
      const auto backend = MakeTestBackend(isa, threads);
      Router router(*backend, gate);
      const Routed again = router.Run(scores);
      REQUIRE(again.expert == together.expert);
      REQUIRE(again.group_entry == together.group_entry);
      REQUIRE(SameBits(again.weight, together.weight));
      for (int64_t row = 0; row < 300; row += 23) {
        const Routed alone = router.Run({scores.begin() + row * 64, scores.begin() + (row + 1) * 64});
        for (size_t j = 0; j < 6; ++j)
          REQUIRE(alone.expert[j] == together.expert[static_cast<size_t>(row) * 6 + j]);
        REQUIRE(SameBits(alone.weight, {together.weight.data() + row * 6, 6}));
      }
    }
  }
}

}  // namespace guildhall
