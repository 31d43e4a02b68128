// Every family against transformers: logits of whole prompts.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/model/runner.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// float32 checkpoints: rtol = atol = 1e-4 at every level. bf16 checkpoints are compared with the exact
// meaning of their weights (float32 arithmetic): levels that keep float activations meet the same bound; the
// AVX-512 level rounds the inputs of its products to bf16 (8 bits of mantissa), which moves logits of this
// spread (about 1) by some hundredths.
struct Tolerance {
  double absolute, relative;
};

Tolerance ToleranceOf(const Golden& golden, const std::string& isa) {
  if (!golden.bf16) return {1e-4, 1e-4};
  // The KV cache of a bf16 model is bf16 as well, at every level.
  return isa == "avx512" ? Tolerance{0.15, 0.02} : Tolerance{0.08, 0.01};
}

// The largest excess over the tolerance, <= 0 when all is well.
double Excess(const std::vector<float>& found, const std::vector<float>& expected, Tolerance tolerance) {
  double excess = -1.0;
  for (size_t i = 0; i < found.size(); ++i) {
    const double difference = std::fabs(double{found[i]} - double{expected[i]});
    if (!(difference <= 1e30)) return 1e30;  // NaN
    excess = std::max(excess,
                      difference - tolerance.absolute - tolerance.relative * std::fabs(double{expected[i]}));
  }
  return excess;
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
