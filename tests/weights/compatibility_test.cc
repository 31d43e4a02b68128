#include "weights/compatibility.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "base/str_cat.h"
#include "tests/weights/tiny_adapter.h"

namespace guildhall {
namespace {

struct Chosen {
  std::string name;
  AdapterManifest manifest;
  float scale = 1.0f;
};

// Empty: they may serve together.
std::string Refusal(const std::vector<Chosen>& chosen) {
  std::vector<AdapterChanges> changes;
  for (const Chosen& one : chosen) changes.push_back(ChangesOf(one.manifest));
  std::vector<ChosenAdapter> adapters;
  for (size_t i = 0; i < chosen.size(); ++i) {
    adapters.push_back({chosen[i].name, chosen[i].scale, &changes[i]});
  }
  const absl::Status status = CheckTogether(adapters);
  if (!status.ok()) REQUIRE(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

// Low-rank changes of these weights.
AdapterManifest Changing(const std::vector<WeightKey>& keys, bool dora) {
  AdapterManifest manifest;
  for (const WeightKey& key : keys) {
    manifest.low_rank.push_back({.key = key, .module = "module", .rank = 2, .in = 8, .out = 8, .dora = dora});
  }
  return manifest;
}

AdapterManifest Lora(const std::vector<WeightKey>& keys) {
  return Changing(keys, false);
}

AdapterManifest Dora(const std::vector<WeightKey>& keys) {
  return Changing(keys, true);
}

AdapterManifest Both(AdapterManifest replacing, const AdapterManifest& changing) {
  replacing.low_rank = changing.low_rank;
  return replacing;
}

constexpr const char* kCombination = "; use one of them, or another combination";

TEST_CASE("Two replacements of the same part are refused by name") {
  CHECK(
      Refusal({{"a", EsftManifest({{1, 0}, {1, 2}})}, {"b", EsftManifest({{1, 2}})}}) ==
      "adapters 'a' and 'b' cannot be combined: both replace expert 2 of layer 1; use one of them, or another"
      " combination");
  CHECK(Refusal({{"a", EsftManifest({{0, -1}})}, {"b", EsftManifest({{0, -1}})}}) ==
        "adapters 'a' and 'b' cannot be combined: both replace the shared experts of layer 0; use one of "
        "them, or"
        " another combination");
  CHECK(Refusal({{"a", EsftManifest({{1, 0}})}, {"b", EsftManifest({{1, 1}, {2, 0}, {1, -1}})}}).empty());
  // Of three, the two that clash are named; of several parts, the lowest.
  CHECK(Refusal({{"a", EsftManifest({{1, 0}})},
                 {"b", EsftManifest({{1, 1}, {2, 3}, {2, 1}})},
                 {"c", EsftManifest({{2, 3}, {2, 1}})}})
            .starts_with("adapters 'b' and 'c' cannot be combined: both replace expert 1 of layer 2"));
}

TEST_CASE("Factors that mean nothing are refused") {
  const WeightKey q{WeightRole::kQ, 1};
  CHECK(Refusal({{"a", Lora({q}), std::nanf("")}}) == "adapter 'a': the factor is not a finite number");
  CHECK(Refusal({{"a", EsftManifest({{1, 0}}), 0.5f}}) ==
        "adapter 'a' replaces experts, which only has a meaning with the factor 1; found 0.5");
  CHECK(Refusal({{"a", EsftManifest({{1, -1}}), 0.0f}}) ==
        "adapter 'a' replaces experts, which only has a meaning with the factor 1; found 0");
  CHECK(Refusal({{"a", Dora({q}), 2.0f}}) ==
        "adapter 'a' is DoRA, which is served with the factor 1 alone; found 2");
  CHECK(Refusal({{"a", Dora({q})}}).empty());
  CHECK(Refusal({{"a", Lora({q}), -3.0f}}).empty());
  CHECK(Refusal({{"a", Dora({q})}, {"a", Dora({q})}}) ==
        "adapter 'a' is named twice: name it once, with one factor");
}

TEST_CASE("DoRA on a network does not meet another adapter's replacement of it") {
  const AdapterManifest dora = Dora({{WeightRole::kExpertDown, 1, 2}});
  CHECK(
      Refusal({{"d", dora}, {"e", EsftManifest({{1, 2}})}}) ==
      "adapters 'e' and 'd' cannot be combined: the first replaces what the second scales (DoRA), expert 2 of"
      " layer 1; use one of them, or another combination");
  CHECK(Refusal({{"e", EsftManifest({{1, 2}})}, {"d", dora}}).starts_with("adapters 'e' and 'd'"));
  CHECK(Refusal({{"d", dora}, {"e", EsftManifest({{1, 1}, {2, 2}, {1, -1}})}}).empty());
  const AdapterManifest shared = Dora({{WeightRole::kSharedUp, 2}});
  CHECK(Refusal({{"d", shared}, {"e", EsftManifest({{2, -1}})}}) ==
        StrCat("adapters 'e' and 'd' cannot be combined: the first replaces what the second scales (DoRA),"
               " the shared experts of layer 2",
               kCombination));
  // The score of the shared experts is no part of them.
  CHECK(Refusal({{"d", Dora({{WeightRole::kSharedScore, 2}})}, {"e", EsftManifest({{2, -1}})}}).empty());
  // Plain LoRA adds to whatever stands there, and an adapter's own parts are made for each other.
  CHECK(Refusal({{"l", Lora({{WeightRole::kExpertDown, 1, 2}})}, {"e", EsftManifest({{1, 2}})}}).empty());
  CHECK(Refusal({{"both", Both(EsftManifest({{1, 2}}), dora)}}).empty());
}

TEST_CASE("DoRA shares no module with another adapter of its task") {
  struct Case {
    WeightKey key;
    std::string name;
  };
  const std::vector<Case> cases{
      {{WeightRole::kQ, 1}, "q_proj of layer 1"},
      {{WeightRole::kKvB, 0}, "kv_b_proj of layer 0"},
      {{WeightRole::kGate, 0}, "gate_proj of layer 0"},
      {{WeightRole::kExpertUp, 2, 3}, "up_proj of expert 3 of layer 2"},
      {{WeightRole::kSharedDown, 2}, "down_proj of the shared experts of layer 2"},
      {{WeightRole::kSharedScore, 1}, "the gate of the shared experts of layer 1"},
      {{WeightRole::kHead}, "the head"},
      {{WeightRole::kEmbedding}, "the embedding"},
  };
  for (const Case& one : cases) {
    const std::string expected = StrCat("adapters 'a' and 'b' cannot be combined: both change ", one.name,
                                        ", and one of them scales it (DoRA)", kCombination);
    CHECK(Refusal({{"a", Dora({one.key})}, {"b", Lora({one.key})}}) == expected);
    CHECK(Refusal({{"a", Lora({one.key}), 0.5f}, {"b", Dora({one.key})}}) == expected);
    CHECK(Refusal({{"a", Dora({one.key})}, {"b", Dora({one.key})}}) == expected);
    CHECK(Refusal({{"a", Lora({one.key})}, {"b", Lora({one.key}), 0.5f}}).empty());
  }
  // Modules of one product, or of like networks, are different modules.
  CHECK(Refusal({{"a", Dora({{WeightRole::kQ, 1}})}, {"b", Lora({{WeightRole::kV, 1}})}}).empty());
  CHECK(Refusal({{"a", Dora({{WeightRole::kQ, 1}})}, {"b", Dora({{WeightRole::kQ, 0}})}}).empty());
  CHECK(Refusal({{"a", Dora({{WeightRole::kExpertUp, 1, 0}})}, {"b", Lora({{WeightRole::kExpertUp, 1, 1}})}})
            .empty());
}

TEST_CASE("What an adapter changes is read from its manifest, in order") {
  const AdapterChanges changes =
      ChangesOf(Both(EsftManifest({{2, 1}, {1, 3}, {1, -1}}),
                     Lora({{WeightRole::kO, 1}, {WeightRole::kQ, 2}, {WeightRole::kQ, 0}})));
  CHECK(changes.replaced == std::vector<AdapterChanges::Place>{{1, -1}, {1, 3}, {2, 1}});
  REQUIRE(changes.modules.size() == 3);
  CHECK(changes.modules[0].key == WeightKey{WeightRole::kQ, 0});
  CHECK(changes.modules[2].key == WeightKey{WeightRole::kO, 1});
  CHECK_FALSE(changes.dora());
  CHECK_FALSE(FindClash({}).has_value());
}

}  // namespace
}  // namespace guildhall
