#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/kernels/gate_reference.h"
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/test_router.h"

namespace guildhall {
namespace {

using Activation = GateSpec::Activation;

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
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    Router router(*backend, gate);
    router.bias = bias;
    const Routed routed = router.Run(scores);
    INFO(on.name << ", experts " << gate.experts << ", k " << gate.k);
    REQUIRE(routed.expert == experts);
    REQUIRE(routed.slot == experts);
    RequireClose(routed.weight, weights, 2e-5, 1e-7);
  }
}

}  // namespace

TEST_CASE("route: softmax over all, top-k, from 1 to 512 experts", "[long]") {
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
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
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
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    const GateSpec best = Grouped(Gate(8, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kMax);
    REQUIRE(Router(*backend, best).Run(scores).expert == std::vector<int32_t>{0, 3});
    const GateSpec two = Grouped(Gate(8, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kSumOfTop2);
    REQUIRE(Router(*backend, two).Run(scores).expert == std::vector<int32_t>{5, 4});
  }
}

TEST_CASE("route by hand: with a bias that makes every key negative the kept groups still come first") {
  GateSpec gate = Grouped(Gate(4, 2, Activation::kIdentity), 2, 1, GateSpec::GroupScore::kSumOfTop2);
  gate.selection_bias = true;
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    Router router(*backend, gate);
    router.bias = {-5, -9, -6, -7};
    const Routed routed = router.Run({1, 2, 3, 4});  // keys -4 -7 | -3 -3
    REQUIRE(routed.expert == std::vector<int32_t>{2, 3});
    REQUIRE(routed.weight == std::vector<float>{3, 4});
  }
}

TEST_CASE("route: among equal scores the lower id comes first") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
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
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
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
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
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

TEST_CASE("a row of route has the same bits alone, in any batch and on 1 to 3 threads") {
  GateSpec gate = Grouped(Gate(64, 6, Activation::kSigmoid), 8, 4, GateSpec::GroupScore::kSumOfTop2);
  gate.normalize = true;
  Random random(8);
  const auto scores = random.Floats(300 * 64);
  for (const TestBackend& on : OpTestBackends()) {
    const auto first = MakeTestBackend(on, 1);
    const Routed together = Router(*first, gate).Run(scores);
    for (const int threads : on.lanes) {
      const auto backend = MakeTestBackend(on, threads);
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
