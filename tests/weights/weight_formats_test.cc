#include "weights/weight_formats.h"

#include <catch2/catch.hpp>

namespace guildhall {
namespace {

TEST_CASE("One word sets the format of every kind") {
  const auto formats = ParseWeightFormats("int8");
  REQUIRE(formats.ok());
  for (const WeightKind& kind : kWeightKinds) CHECK((*formats).*kind.format == WeightFormat::kInt8);
  CHECK(WeightFormatsText(*formats) == "int8");
}

TEST_CASE("Kinds are set one by one, the others stay as the checkpoint has them") {
  const auto formats = ParseWeightFormats("experts=int4_offset,head=int8,attention=auto");
  REQUIRE(formats.ok());
  CHECK(*formats == WeightFormats{.experts = WeightFormat::kInt4Offset, .head = WeightFormat::kInt8});
  CHECK(WeightFormatsText(*formats) == "experts=int4_offset,head=int8");
  CHECK(ParseWeightFormats(WeightFormatsText(*formats)).value() == *formats);
  CHECK(WeightFormatsText(WeightFormats{}) == "auto");
  CHECK(ParseWeightFormats("auto").value() == WeightFormats{});
}

TEST_CASE("What is wrong with a choice of formats is named") {
  CHECK(ParseWeightFormats("int7").status().message() ==
        "weights: expected a weight format (auto, f32, bf16, f16, int8, int4, int4_offset), found \"int7\"");
  CHECK(ParseWeightFormats("experts=q4").status().message() ==
        "experts: expected a weight format (auto, f32, bf16, f16, int8, int4, int4_offset), found \"q4\"");
  CHECK(
      ParseWeightFormats("expert=int4").status().message() ==
      "weights: expected KIND=FORMAT with one of the kinds experts, shared_experts, dense, attention, head, "
      "found \"expert=int4\"");
  CHECK_FALSE(ParseWeightFormats("experts=int4,").ok());
  CHECK_FALSE(ParseWeightFormats("").ok());
}

}  // namespace
}  // namespace guildhall
