// Every adapter kind on every family against PEFT and merged models, all sequences of a case in one mixed
// batch.
#include <catch2/catch.hpp>
#include <utility>

#include "base/check.h"
#include "tests/model/adapter_runner.h"
#include "tests/support/compare.h"

namespace guildhall {
namespace {

// Twice the bounds of the base's goldens where activations are float: these logits are several times larger.
// bf16: see golden_test.cc; the rounded keys of a bf16 cache count for more here, for the same reason.
Tolerance ToleranceOf(const AdapterGolden& golden, const TestBackend& on) {
  if (golden.base.find("bf16") == std::string::npos) return {2e-4, 2e-4};
  return on.bf16_input == Rounding::kBF16 ? Tolerance{0.15, 0.02} : Tolerance{0.09, 0.02};
}

// The set with other expert maps.
std::shared_ptr<const AdapterSet> WithMaps(const AdapterSet& set, const std::vector<LayerAdapterSet>& layers,
                                           AdaptedModel& model) {
  auto other = std::make_shared<AdapterSet>();
  other->id = set.id;
  other->members = set.members;
  other->layers = layers;
  other->products = set.products;
  other->rank_columns = set.rank_columns;
  GH_CHECK(MakeSetTable(*other, model.loaded.backend->memory()).ok());
  return other;
}

}  // namespace

TEST_CASE("adapters served in one mixed batch agree with merged models and PEFT on every back end") {
  for (const std::string& name : AdapterGoldenNames()) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    for (const TestBackend& on : TestBackends()) {
      AdaptedModel model(golden, on, 1);
      std::mt19937 random(3);
      const auto mixed = FeedTogether(
          *model.loaded.decoder, model.tokens, [](size_t, int64_t left) { return left; }, random,
          model.AllServed());
      for (size_t s = 0; s < golden.sequences.size(); ++s) {
        const AdapterGolden::Sequence& sequence = golden.sequences[s];
        INFO(name << " " << on.name << ", sequence " << s << " with " << sequence.adapters.size()
                  << " adapters");
        REQUIRE(mixed[s].size() == sequence.logits.values.size());
        CHECK(Excess(mixed[s], sequence.logits.values, ToleranceOf(golden, on)) <= 0.0);
        // What is compared would notice an adapter that does nothing.
        if (!sequence.adapters.empty()) CHECK(sequence.expected_minus_base > 0.04);
      }
    }
  }
}

TEST_CASE("an expert map with one wrong entry, or none, is noticed by the comparison with merged models") {
  for (const std::string name : {"esft_olmoe", "esft_deepseek_v2_lite"}) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    AdaptedModel model(golden, DefaultTestBackend(), 1);
    const auto excess = [&](size_t s, const AdapterSet& set) {
      Served served = model.ServedAlone(s);
      served.sets = {&set};
      const std::vector<float> logits = FeedAlone(*model.loaded.decoder, model.tokens[s], served);
      return Excess(logits, golden.sequences[s].logits.values, ToleranceOf(golden, DefaultTestBackend()));
    };
    int mutations = 0;
    for (size_t s = 0; s < golden.sequences.size(); ++s) {
      if (model.sets[s] == nullptr) continue;
      INFO(name << ", sequence " << s);
      CHECK(excess(s, *model.sets[s]) <= 0.0);
      // One replaced expert of the last layer is the base's again: the stale map of a load that was not
      // noticed.
      std::vector<LayerAdapterSet> layers = model.sets[s]->layers;
      std::vector<int32_t>& map = layers.back().expert_map;
      const auto excess_with = [&] { return excess(s, *WithMaps(*model.sets[s], layers, model)); };
      bool noticed = false;
      for (size_t expert = 0; expert < map.size(); ++expert) {
        if (map[expert] == static_cast<int32_t>(expert)) continue;
        const int32_t slot = std::exchange(map[expert], static_cast<int32_t>(expert));
        noticed = noticed || excess_with() > 0.0;
        map[expert] = slot;
        ++mutations;
      }
      if (!map.empty()) CHECK(noticed);
      for (LayerAdapterSet& layer : layers) layer.expert_map.clear();
      CHECK(excess_with() > 0.0);
    }
    CHECK(mutations >= 4);
  }
}

TEST_CASE("adapters beside a sequence never change its logits, to the bit", "[long]") {
  for (const std::string& name : AdapterGoldenNames()) {
    const AdapterGolden golden = LoadAdapterGolden(name);
    for (const TestBackend& on : TestBackends()) {
      const LoadedModel plain = LoadModel(LoadGolden(golden.base).directory, on, 1);
      AdaptedModel one(golden, on, 1), two(golden, on, 2);
      std::vector<std::vector<float>> alone;
      for (size_t s = 0; s < golden.sequences.size(); ++s) {
        alone.push_back(FeedAlone(*one.loaded.decoder, one.tokens[s], one.ServedAlone(s)));
        INFO(name << " " << on.name << ", sequence " << s);
        // Base rows are those of a decoder that never saw an adapter.
        if (golden.sequences[s].adapters.empty()) {
          CHECK(SameBits(FeedAlone(*plain.decoder, one.tokens[s]), alone[s]));
        }
      }
      std::mt19937 random(11);
      for (int round = 0; round < 3; ++round) {
        AdaptedModel& model = round == 1 ? one : two;
        const int64_t largest = round == 0 ? 1 : round == 1 ? 7 : 40;
        const auto rule = [&](size_t, int64_t) {
          return static_cast<int64_t>(random() % static_cast<uint64_t>(largest + 1));
        };
        const auto mixed = FeedTogether(*model.loaded.decoder, model.tokens, rule, random, model.AllServed());
        for (size_t s = 0; s < golden.sequences.size(); ++s) {
          INFO(name << " " << on.name << " round " << round << ", sequence " << s);
          CHECK(SameBits(mixed[s], alone[s]));
        }
      }
    }
  }
}

namespace {

void CheckChurnBeside(const std::string& name) {
  const AdapterGolden golden = LoadAdapterGolden(name);
  AdaptedModel model(golden, DefaultTestBackend(), 2);
  std::vector<std::vector<float>> alone;
  for (size_t s = 0; s < golden.sequences.size(); ++s)
    alone.push_back(FeedAlone(*model.loaded.decoder, model.tokens[s], model.ServedAlone(s)));
  std::mt19937 random(5);
  Served served = model.AllServed();
  int churned = 0;
  served.tables = [&, tables = served.tables] {
    model.Churn(random, churned++);
    return tables();
  };
  const auto mixed = FeedTogether(
      *model.loaded.decoder, model.tokens, [](size_t, int64_t) { return int64_t{2}; }, random, served);
  CHECK(churned >= 3);
  for (size_t s = 0; s < golden.sequences.size(); ++s) {
    INFO(name << ", sequence " << s);
    CHECK(SameBits(mixed[s], alone[s]));
  }
}

}  // namespace

TEST_CASE("loads, replacements, evictions and unloads beside a sequence never change its logits, to the bit",
          "[long]") {
  for (const std::string& name : AdapterGoldenNames()) CheckChurnBeside(name);
}

TEST_CASE("loads and unloads of experts and of low-rank changes beside a sequence", "[churn]") {
  CheckChurnBeside("mixed_deepseek_v2_lite");
}

}  // namespace guildhall
