#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

// The same values as `weights` in another dtype that holds them exactly.
TestWeights Widened(const TestWeights& weights) {
  TestWeights wide{DType::kF32, weights.out, weights.in, {}, weights.values};
  wide.bytes.resize(weights.values.size() * sizeof(float));
  for (size_t i = 0; i < weights.values.size(); ++i) {
    const auto value = static_cast<float>(weights.values[i]);
    std::memcpy(wide.bytes.data() + i * sizeof(float), &value, sizeof(value));
  }
  return wide;
}

Buffer Packed(const Backend& backend, std::span<const TensorView> parts, DType dtype) {
  return PackOnHost(backend, StackOf(parts, FormatOf(dtype)), parts);
}

Buffer Packed(const Backend& backend, const TestWeights& weights) {
  const TensorView view = weights.View();
  return Packed(backend, {&view, 1}, weights.dtype);
}

bool SameBytes(const Buffer& a, const Buffer& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

TEST_CASE("packed bytes are whole panels of 16 columns and whole units of k", "[cpu]") {
  for (const TestBackend& on : CpuTestBackends()) {
    auto backend = MakeTestBackend(on);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kF32), 17, 3)) == 32 * 3 * 4);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kF16), 16, 3)) == 16 * 3 * 2);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kBF16), 1, 3)) == 16 * 4 * 2);
    CHECK(backend->PackedBytes(PackShape::GateUp(FormatOf(DType::kBF16), 17, 2)) == 2 * 32 * 2 * 2);
  }
}

TEST_CASE("stacked parts are packed as one matrix, converted to the asked dtype") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(1);
    const TestWeights q = MakeWeights(random, DType::kBF16, 33, 19);
    const TestWeights k = MakeWeights(random, DType::kF16, 5, 19);
    const TestWeights v = MakeWeights(random, DType::kF32, 7, 19);
    const TensorView parts[] = {q.View(), k.View(), v.View()};
    const PackShape shape = StackOf(parts, WeightFormat::kF32);
    CHECK(shape.At(nullptr).out == 45);
    CHECK(shape.At(nullptr).in == 19);
    TestWeights whole{DType::kF32, 45, 19, {}, {}};
    for (const TestWeights* part : {&q, &k, &v}) {
      const TestWeights wide = Widened(*part);
      whole.bytes.insert(whole.bytes.end(), wide.bytes.begin(), wide.bytes.end());
    }
    CHECK(SameBytes(Packed(*backend, parts, DType::kF32), Packed(*backend, whole)));
  }
}

TEST_CASE("tensors at odd addresses pack to the same bytes", "[cpu]") {
  auto backend = CpuTestBackends().front().make(1);
  Random random(2);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const TestWeights weights = MakeWeights(random, dtype, 20, 70);
    std::vector<std::byte> shifted(weights.bytes.size() + 1);
    std::copy(weights.bytes.begin(), weights.bytes.end(), shifted.begin() + 1);
    const TensorView view{dtype, {20, 70}, shifted.data() + 1};
    CHECK(SameBytes(Packed(*backend, {&view, 1}, dtype), Packed(*backend, weights)));
  }
}

TEST_CASE("narrowing to F16 rounds to nearest even, over all halves and the borders between them", "[cpu]") {
  auto backend = CpuTestBackends().front().make(1);
  // Every half but the NaNs, then the points between it and the next one and just beside them.
  std::vector<float> values;
  std::vector<uint16_t> expected;
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const auto next = static_cast<uint16_t>(bits + 1);
    const float low = F16ToFloat(half);
    const float high = bits + 1 == 0x7c00 ? 65536.0f : F16ToFloat(next);
    const float middle = low + (high - low) / 2;
    for (const auto& [value, result] :
         {std::pair(low, half), std::pair(std::nextafter(middle, 0.0f), half),
          std::pair(middle, bits % 2 == 0 ? half : next), std::pair(std::nextafter(middle, 1e9f), next)}) {
      values.push_back(value);
      expected.push_back(result);
      values.push_back(-value);
      expected.push_back(static_cast<uint16_t>(result | 0x8000u));
    }
  }
  for (const float value : {65520.0f, 1e9f, INFINITY}) {
    values.push_back(value);
    expected.push_back(0x7c00);
  }
  const auto count = static_cast<int64_t>(values.size());
  const TensorView wide{DType::kF32, {count, 1}, reinterpret_cast<const std::byte*>(values.data())};
  const TensorView narrow{DType::kF16, {count, 1}, reinterpret_cast<const std::byte*>(expected.data())};
  CHECK(SameBytes(Packed(*backend, {&wide, 1}, DType::kF16), Packed(*backend, {&narrow, 1}, DType::kF16)));
}

TEST_CASE("narrowing to BF16 rounds to nearest even", "[cpu]") {
  auto backend = CpuTestBackends().front().make(1);
  Random random(3);
  const auto values = random.Floats(64);
  std::vector<uint16_t> expected;
  for (const float value : values) expected.push_back(FloatToBF16(value));
  const TensorView wide{DType::kF32, {8, 8}, reinterpret_cast<const std::byte*>(values.data())};
  const TensorView narrow{DType::kBF16, {8, 8}, reinterpret_cast<const std::byte*>(expected.data())};
  CHECK(SameBytes(Packed(*backend, {&wide, 1}, DType::kBF16), Packed(*backend, {&narrow, 1}, DType::kBF16)));
}
