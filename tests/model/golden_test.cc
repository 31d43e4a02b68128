// Every family against transformers: logits of whole prompts.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// float32 checkpoints: rtol = atol = 1e-4 at every level. bf16 checkpoints are compared with the exact
// meaning of their weights (float32 arithmetic): levels that keep float activations meet the same bound; the
// AVX-512 level rounds the inputs of its products to bf16 (8 bits of mantissa), which moves logits of this
// spread (about 1) by some hundredths.
Tolerance ToleranceOf(const Golden& golden, const std::string& isa) {
  if (!golden.bf16) return {1e-4, 1e-4};
  // The KV cache of a bf16 model is bf16 as well, at every level.
  return isa == "avx512" ? Tolerance{0.15, 0.02} : Tolerance{0.08, 0.01};
}

}  // namespace

TEST_CASE("logits of every family agree with transformers at every ISA level") {
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    for (const std::string& isa : IsaLevels()) {
      LoadedModel model = LoadModel(golden.directory, isa, 1);
      for (const Golden::Sequence& sequence : golden.sequences) {
        INFO(name << " " << isa << ", " << sequence.tokens.size() << " tokens");
        const std::vector<float> logits = FeedAlone(*model.decoder, sequence.tokens);
        REQUIRE(logits.size() == sequence.logits.values.size());
        CHECK(Excess(logits, sequence.logits.values, ToleranceOf(golden, isa)) <= 0.0);
      }
    }
  }
}

TEST_CASE("a wrong logit is noticed by the comparison") {
  const std::vector<float> expected{1.0f, -2.0f};
  CHECK(Excess({1.0f, -2.0f}, expected, {1e-4, 1e-4}) <= 0.0);
  CHECK(Excess({1.0f, -2.001f}, expected, {1e-4, 1e-4}) > 0.0);
  CHECK(Excess({1.0f, NAN}, expected, {1e-4, 1e-4}) > 0.0);
}

}  // namespace guildhall
