// Every family against transformers: logits of whole prompts.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// float32 checkpoints: rtol = atol = 1e-4 on every back end. bf16 checkpoints are compared with the exact
// meaning of their weights (float32 arithmetic): back ends that keep float activations meet the same bound;
// inputs of products that are rounded to bf16 (8 bits of mantissa) move logits of this spread (about 1) by
// some hundredths.
Tolerance ToleranceOf(const Golden& golden, const TestBackend& on) {
  if (golden.f16) return {0.02, 0.003};  // the next test has the bound that counts
  if (!golden.bf16) return {1e-4, 1e-4};
  // The KV cache of a bf16 model is bf16 as well, everywhere.
  return on.bf16_input == Rounding::kBF16 ? Tolerance{0.15, 0.02} : Tolerance{0.08, 0.01};
}

}  // namespace

TEST_CASE("logits of every family agree with transformers on every back end") {
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    for (const TestBackend& on : TestBackends()) {
      LoadedModel model = LoadModel(golden.directory, on, 1);
      for (const Golden::Sequence& sequence : golden.sequences) {
        INFO(name << " " << on.name << ", " << sequence.tokens.size() << " tokens");
        const std::vector<float> logits = FeedAlone(*model.decoder, sequence.tokens);
        REQUIRE(logits.size() == sequence.logits.values.size());
        CHECK(Excess(logits, sequence.logits.values, ToleranceOf(golden, on)) <= 0.0);
      }
    }
  }
}

TEST_CASE("an f16 checkpoint keeps f16's precision: no further from float32 than transformers' own float16") {
  int checkpoints = 0;
  for (const std::string& name : GoldenNames()) {
    const Golden golden = LoadGolden(name);
    if (!golden.f16) continue;
    ++checkpoints;
    for (const TestBackend& on : TestBackends()) {
      LoadedModel model = LoadModel(golden.directory, on, 1);
      double squares = 0, count = 0;
      for (const Golden::Sequence& sequence : golden.sequences) {
        const std::vector<float> logits = FeedAlone(*model.decoder, sequence.tokens);
        REQUIRE(logits.size() == sequence.logits.values.size());
        for (size_t i = 0; i < logits.size(); ++i) {
          const double error =
              static_cast<double>(logits[i]) - static_cast<double>(sequence.logits.values[i]);
          squares += error * error;
        }
        count += static_cast<double>(logits.size());
      }
      const double error = std::sqrt(squares / count);
      INFO(name << " " << on.name << ": " << error << ", transformers' float16 " << golden.float16_error);
      CHECK(error <= golden.float16_error);
      CHECK(error > 0.0);
    }
  }
  CHECK(checkpoints >= 3);
}

TEST_CASE("a wrong logit is noticed by the comparison") {
  const std::vector<float> expected{1.0f, -2.0f};
  CHECK(Excess({1.0f, -2.0f}, expected, {1e-4, 1e-4}) <= 0.0);
  CHECK(Excess({1.0f, -2.001f}, expected, {1e-4, 1e-4}) > 0.0);
  CHECK(Excess({1.0f, NAN}, expected, {1e-4, 1e-4}) > 0.0);
}

}  // namespace guildhall
