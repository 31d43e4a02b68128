#include "weights/product_layout.h"

#include <catch2/catch.hpp>

#include "tests/weights/tiny_adapter.h"

namespace guildhall {
namespace {

// "product@out_begin", or "none".
std::string PlaceText(const ModelSpec& spec, WeightRole role) {
  const auto place = PlaceInProduct(spec, {role, 1});
  if (!place) return "none";
  return std::to_string(static_cast<int>(place->product)) + "@" + std::to_string(place->out_begin);
}

std::string ShapeText(const ModelSpec& spec, WeightRole role) {
  const WeightShape shape = ShapeOf(spec, {role, 1});
  return std::to_string(shape.out) + "x" + std::to_string(shape.in);
}

TEST_CASE("Grouped-query attention stacks q, k and v") {
  const ModelSpec spec = TinySpec();  // q: 2 heads of 16; k and v: one
  CHECK(PlaceText(spec, WeightRole::kQ) == "0@0");
  CHECK(PlaceText(spec, WeightRole::kK) == "0@32");
  CHECK(PlaceText(spec, WeightRole::kV) == "0@48");
  CHECK(PlaceText(spec, WeightRole::kO) == "3@0");
  CHECK(PlaceText(spec, WeightRole::kSharedScore) == "4@0");
  CHECK(PlaceText(spec, WeightRole::kKvA) == "none");
  CHECK(PlaceText(spec, WeightRole::kExpertUp) == "none");
  CHECK(ProductOut(spec, Product::kQkv) == 64);
  CHECK(ProductOut(spec, Product::kO) == 32);
  CHECK(ShapeText(spec, WeightRole::kQ) == "32x32");
  CHECK(ShapeText(spec, WeightRole::kV) == "16x32");
  CHECK(ShapeText(spec, WeightRole::kO) == "32x32");
}

TEST_CASE("Where q and k are clipped, v is a product of its own") {
  ModelSpec spec = TinySpec();
  spec.attention.clip_qkv = 8.0f;
  CHECK(PlaceText(spec, WeightRole::kK) == "0@32");
  CHECK(PlaceText(spec, WeightRole::kV) == "1@0");
  CHECK(ProductOut(spec, Product::kQkv) == 48);
  CHECK(ProductOut(spec, Product::kVClipped) == 16);
}

TEST_CASE("Latent attention stacks q or q_a with kv_a") {
  ModelSpec spec = TinySpec(true);  // 2 heads of 12 + 8 and 14; ranks 20 and 18
  CHECK(PlaceText(spec, WeightRole::kQA) == "0@0");
  CHECK(PlaceText(spec, WeightRole::kKvA) == "0@20");
  CHECK(PlaceText(spec, WeightRole::kQB) == "2@0");
  CHECK(PlaceText(spec, WeightRole::kQ) == "none");
  CHECK(PlaceText(spec, WeightRole::kKvB) == "none");
  CHECK(PlaceText(spec, WeightRole::kV) == "none");
  CHECK(ProductOut(spec, Product::kQkv) == 46);
  CHECK(ProductOut(spec, Product::kQB) == 40);
  CHECK(ShapeText(spec, WeightRole::kQA) == "20x32");
  CHECK(ShapeText(spec, WeightRole::kQB) == "40x20");
  CHECK(ShapeText(spec, WeightRole::kKvA) == "26x32");
  CHECK(ShapeText(spec, WeightRole::kKvB) == "52x18");
  CHECK(ShapeText(spec, WeightRole::kO) == "32x28");

  spec.attention.q_lora_rank = 0;
  CHECK(PlaceText(spec, WeightRole::kQ) == "0@0");
  CHECK(PlaceText(spec, WeightRole::kKvA) == "0@40");
  CHECK(PlaceText(spec, WeightRole::kQA) == "none");
  CHECK(PlaceText(spec, WeightRole::kQB) == "none");
  CHECK(ProductOut(spec, Product::kQkv) == 66);
  CHECK(ShapeText(spec, WeightRole::kQ) == "40x32");
}

TEST_CASE("Shapes of what lies outside attention") {
  const ModelSpec spec = TinySpec();
  CHECK(ShapeText(spec, WeightRole::kEmbedding) == "50x32");
  CHECK(ShapeText(spec, WeightRole::kHead) == "50x32");
  CHECK(ShapeText(spec, WeightRole::kUp) == "48x32");
  CHECK(ShapeText(spec, WeightRole::kDown) == "32x48");
  CHECK(ShapeText(spec, WeightRole::kRouter) == "4x32");
  CHECK(ShapeText(spec, WeightRole::kExpertGate) == "24x32");
  CHECK(ShapeText(spec, WeightRole::kExpertDown) == "32x24");
  CHECK(ShapeText(spec, WeightRole::kSharedUp) == "40x32");
  CHECK(ShapeText(spec, WeightRole::kSharedDown) == "32x40");
  CHECK(ShapeText(spec, WeightRole::kSharedScore) == "1x32");
}

}  // namespace
}  // namespace guildhall
