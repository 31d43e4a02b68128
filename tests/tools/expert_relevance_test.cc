#include "tools/expert_relevance.h"

#include <catch2/catch.hpp>
#include <numeric>

#include "tests/model/runner.h"
#include "tests/support/golden.h"

namespace guildhall {

TEST_CASE("experts are chosen by descending relevance until their share reaches p") {
  ExpertRelevance relevance;
  relevance.layers.push_back({.layer = 2, .gate = {0.1, 0.4, 0.0, 0.1}, .token = {0.25, 0.25, 0.1, 0.4}});
  using Chosen = std::map<int, std::vector<int>>;
  CHECK(ChooseExperts(relevance, RelevanceScore::kToken, 0.4) == Chosen{{2, {3}}});
  CHECK(ChooseExperts(relevance, RelevanceScore::kToken, 0.41) == Chosen{{2, {0, 3}}});  // ties: the lower id
  CHECK(ChooseExperts(relevance, RelevanceScore::kToken, 1.0) == Chosen{{2, {0, 1, 2, 3}}});
  // The sum of gate weights is below 1: p is of the scores themselves, and what is never selected is never
  // chosen.
  CHECK(ChooseExperts(relevance, RelevanceScore::kGate, 0.4) == Chosen{{2, {1}}});
  CHECK(ChooseExperts(relevance, RelevanceScore::kGate, 0.5) == Chosen{{2, {0, 1}}});
  CHECK(ChooseExperts(relevance, RelevanceScore::kGate, 0.9) == Chosen{{2, {0, 1, 3}}});
  CHECK(ChooseExperts(relevance, RelevanceScore::kGate, 0.0) == Chosen{{2, {1}}});
}

TEST_CASE("relevance counts every selection of every token once, in any chunks") {
  const Golden golden = LoadGolden("olmoe_f32");
  const LoadedModel model = LoadModel(golden.directory, DefaultTestBackend(), 1);
  std::vector<std::vector<int32_t>> sequences;
  for (const Golden::Sequence& sequence : golden.sequences) sequences.push_back(sequence.tokens);
  std::vector<int32_t> lengthy;  // longer than a step
  while (lengthy.size() < 300)
    lengthy.insert(lengthy.end(), sequences.back().begin(), sequences.back().end());
  sequences.push_back(lengthy);
  const ExpertRelevance relevance = MeasureExperts(*model.decoder, sequences).value();
  size_t tokens = 0;
  for (const auto& sequence : sequences) tokens += sequence.size();
  CHECK(relevance.tokens == static_cast<int64_t>(tokens));
  REQUIRE(relevance.layers.size() == 2);
  for (const LayerRelevance& layer : relevance.layers) {
    CHECK(std::accumulate(layer.token.begin(), layer.token.end(), 0.0) == Approx(1.0));
    const double gates = std::accumulate(layer.gate.begin(), layer.gate.end(), 0.0);
    CHECK(gates > 0.0);
    CHECK(gates < 1.0);  // a softmax over all experts, of which 3 of 8 are selected
  }
}

}  // namespace guildhall
