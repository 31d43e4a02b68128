#include "base/dtype.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/convert.h"
#include "base/tensor_view.h"

namespace guildhall {
namespace {

TEST_CASE("dtype: names of safetensors and of config.json") {
  CHECK(ParseDType("BF16") == DType::kBF16);
  CHECK(ParseDType("bfloat16") == DType::kBF16);
  CHECK(ParseDType("torch.float16") == DType::kF16);
  CHECK(ParseDType("float32") == DType::kF32);
  CHECK_FALSE(ParseDType("float64"));
  CHECK_FALSE(ParseDType("F8_E4M3"));
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16})
    CHECK(ParseDType(DTypeName(dtype)) == dtype);
}

TEST_CASE("dtype: every bf16 value survives the way to float and back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = BF16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      REQUIRE(std::isnan(BF16ToFloat(FloatToBF16(value))));
    } else {
      REQUIRE(FloatToBF16(value) == bits);
    }
  }
}

TEST_CASE("dtype: float to bf16 rounds to nearest, ties to even") {
  const auto round = [](uint32_t bits) { return FloatToBF16(std::bit_cast<float>(bits)); };
  CHECK(round(0x3f808000) == 0x3f80);  // a tie: down to even
  CHECK(round(0x3f818000) == 0x3f82);  // a tie: up to even
  CHECK(round(0x3f808001) == 0x3f81);
  CHECK(round(0x3f807fff) == 0x3f80);
  CHECK(round(0x7f7fffff) == 0x7f80);  // the largest float rounds to infinity
  CHECK(FloatToBF16(-0.0f) == 0x8000);
}

TEST_CASE("dtype: f16 values as IEEE 754 defines them") {
  CHECK(F16ToFloat(0x3c00) == 1.0f);
  CHECK(F16ToFloat(0xc000) == -2.0f);
  CHECK(F16ToFloat(0x7bff) == 65504.0f);
  CHECK(F16ToFloat(0x0400) == std::ldexp(1.0f, -14));  // smallest normal
  CHECK(F16ToFloat(0x0001) == std::ldexp(1.0f, -24));  // smallest subnormal
  CHECK(F16ToFloat(0x83ff) == -std::ldexp(1023.0f, -24));
  CHECK(F16ToFloat(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(F16ToFloat(0x7e00)));
  CHECK(std::signbit(F16ToFloat(0x8000)));
}

TEST_CASE("dtype: every f16 value survives the way to float and back, and between two the nearest is taken") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = F16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      REQUIRE(std::isnan(F16ToFloat(FloatToF16(value))));
      continue;
    }
    REQUIRE(FloatToF16(value) == bits);
    if ((bits & 0x7fff) >= 0x7bff) continue;  // nothing finite above it
    const float above = F16ToFloat(static_cast<uint16_t>(bits + 1)), middle = (value + above) / 2;
    REQUIRE(FloatToF16(middle) == bits + bits % 2);
    REQUIRE(FloatToF16(std::nextafter(middle, value)) == bits);
    REQUIRE(FloatToF16(std::nextafter(middle, above)) == bits + 1);
  }
  CHECK(FloatToF16(65519.996f) == 0x7bff);
  CHECK(FloatToF16(65520.0f) == 0x7c00);
  CHECK(FloatToF16(-1e38f) == 0xfc00);
  CHECK(FloatToF16(1e-45f) == 0);
}

TEST_CASE("dtype: elements load from unaligned memory") {
  unsigned char bytes[1 + 12];
  const float floats[] = {1.5f, -2.0f, 3.25f};
  std::memcpy(bytes + 1, floats, sizeof(floats));
  CHECK(LoadElement(bytes + 1, DType::kF32, 2) == 3.25f);
  const uint16_t halves[] = {0x3c00, 0x3fc0};
  std::memcpy(bytes + 1, halves, sizeof(halves));
  CHECK(LoadElement(bytes + 1, DType::kF16, 0) == 1.0f);
  CHECK(LoadElement(bytes + 1, DType::kBF16, 1) == 1.5f);
}

TEST_CASE("tensor view: rows, elements, bytes and the text of a shape") {
  const std::byte data[48] = {};
  const TensorView view{DType::kBF16, {4, 2, 3}, data};
  CHECK(view.Elements() == 24);
  CHECK(view.Bytes() == 48);
  CHECK(view.ShapeText() == "[4, 2, 3]");
  const TensorView rows = view.Rows(1, 3);
  CHECK(rows.shape == std::vector<int64_t>{2, 2, 3});
  CHECK(rows.data == data + 12);
  CHECK(TensorView{}.Elements() == 1);
  CHECK((TensorView{DType::kF32, {0, 5}, data}.Rows(0, 0).Elements() == 0));
}

}  // namespace
}  // namespace guildhall
