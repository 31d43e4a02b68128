// Weight formats: how far the next tokens move, and that a sequence's company still changes no bit.
#include <catch2/catch.hpp>

#include "tests/model/runner.h"
#include "tests/support/compare.h"
#include "tests/support/golden.h"

namespace guildhall {
namespace {

// A choice of formats with the most that it may move the goldens' next tokens: divergence in nats from the
// checkpoint's own formats, mean over positions, and the share of positions whose most likely token is the
// same; for each case and level, and over all cases of a level. Measured: within 0.8 of these. The random
// weights of the goldens, often 32 wide, are harsher than trained ones: docs/performance.md has those.
struct Bounds {
  double most_divergence, least_agreement;
};
struct Choice {
  const char* formats;
  Bounds each, all;
};
constexpr Choice kChoices[] = {
    {"f32", {2e-4, 0.96}, {4e-5, 0.99}},  // AVX-512 rounds inputs of bf16 products, not of f32 ones
    {"bf16", {3e-4, 0.95}, {8e-5, 0.985}},
    {"f16", {2e-4, 0.96}, {4e-5, 0.99}},
    {"int8", {0.014, 0.88}, {2.1e-3, 0.95}},
    {"experts=int4,attention=int8,head=int8", {0.11, 0.7}, {0.021, 0.86}},
    {"int4", {0.48, 0.43}, {0.14, 0.62}},
    {"int4_offset", {0.32, 0.46}, {0.105, 0.67}}};

WeightFormats Parse(const char* text) {
  auto formats = ParseWeightFormats(text);
  REQUIRE(formats.ok());
  return *formats;
}

NextTokenDifference MeasureGolden(const Golden& golden, const LoadedModel& own, const LoadedModel& other) {
  NextTokenDifference moved;
  for (const Golden::Sequence& sequence : golden.sequences) {
    moved.Add(FeedAlone(*own.decoder, sequence.tokens), FeedAlone(*other.decoder, sequence.tokens),
              static_cast<size_t>(own.decoder->vocabulary()));
  }
  return moved;
}

}  // namespace

TEST_CASE("each weight format moves the next tokens of every family by no more than its bound", "[long]") {
  const std::vector<std::string> names = GoldenNames();
  for (const TestBackend& on : TestBackends()) {
    std::vector<Bounds> sums(std::size(kChoices), Bounds{0.0, 0.0});
    for (const std::string& name : names) {
      const Golden golden = LoadGolden(name);
      const LoadedModel own = LoadModel(golden.directory, on, 1);
      for (size_t i = 0; i < std::size(kChoices); ++i) {
        const Choice& choice = kChoices[i];
        const LoadedModel other = LoadModel(golden.directory, on, 1, Parse(choice.formats));
        const NextTokenDifference moved = MeasureGolden(golden, own, other);
        const double divergence = moved.mean();
        const double agreement = moved.agreement();
        INFO(name << " " << on.name << " " << choice.formats << ", " << moved.positions << " positions");
        CHECK(divergence <= choice.each.most_divergence);
        CHECK(agreement >= choice.each.least_agreement);
        sums[i].most_divergence += divergence;
        sums[i].least_agreement += agreement;
      }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      INFO(on.name << " " << kChoices[i].formats << ", all cases");
      const auto count = static_cast<double>(names.size());
      CHECK(sums[i].most_divergence / count <= kChoices[i].all.most_divergence);
      CHECK(sums[i].least_agreement / count >= kChoices[i].all.least_agreement);
    }
  }
}

TEST_CASE("a format that is asked for is computed in: the logits are others than the checkpoint's own") {
  const Golden golden = LoadGolden("olmoe_f32");
  const std::vector<int32_t>& tokens = golden.sequences.back().tokens;
  const std::vector<float> own =
      FeedAlone(*LoadModel(golden.directory, DefaultTestBackend(), 1).decoder, tokens);
  for (const char* formats : {"bf16", "experts=int8", "attention=int8", "head=int8"}) {
    INFO(formats);
    CHECK_FALSE(SameBits(
        FeedAlone(*LoadModel(golden.directory, DefaultTestBackend(), 1, Parse(formats)).decoder, tokens),
        own));
  }
  // What is asked for is what the checkpoint has.
  CHECK(SameBits(
      FeedAlone(*LoadModel(golden.directory, DefaultTestBackend(), 1, Parse("f32")).decoder, tokens), own));
}

}  // namespace guildhall
