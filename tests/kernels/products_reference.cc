#include "tests/kernels/products_reference.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

namespace guildhall {
namespace {

// One unit in the last place of float32, halved: what one rounding may change, relative.
constexpr double kEpsilon = 0x1p-24;

}  // namespace

TestWeights MakeWeights(Random& random, DType dtype, int64_t out, int64_t in) {
  TestWeights weights{dtype, out, in, {}, {}};
  const size_t count = static_cast<size_t>(out * in);
  weights.bytes.resize(count * DTypeSize(dtype));
  weights.values.resize(count);
  for (size_t i = 0; i < count; ++i) {
    std::byte* place = weights.bytes.data() + i * DTypeSize(dtype);
    if (dtype == DType::kF32) {
      const float value = random.Float();
      std::memcpy(place, &value, sizeof(value));
    } else if (dtype == DType::kBF16) {
      const uint16_t bits = FloatToBF16(random.Float());
      std::memcpy(place, &bits, sizeof(bits));
    } else {
      // Any half below 1, subnormal ones included.
      const auto bits =
          static_cast<uint16_t>((random.Next() & 0x8000u) | static_cast<uint64_t>(random.Below(0x3c00)));
      std::memcpy(place, &bits, sizeof(bits));
    }
    weights.values[i] =
        static_cast<double>(LoadElement(weights.bytes.data(), dtype, static_cast<int64_t>(i)));
  }
  return weights;
}

PackedWeights PackWeights(const Backend& backend, std::span<const TensorView> parts, DType dtype) {
  int64_t out = 0;
  for (const TensorView& part : parts) out += part.shape[0];
  auto memory = Buffer::Allocate(backend.PackedBytes(FormatOf(dtype), out, parts[0].shape[1]), "test");
  REQUIRE(memory.ok());
  PackedWeights packed{*std::move(memory), {}};
  packed.matrix = backend.Pack(parts, FormatOf(dtype), packed.memory.data());
  return packed;
}

PackedWeights PackWeights(const Backend& backend, const TestWeights& weights) {
  const TensorView view = weights.View();
  return PackWeights(backend, {&view, 1}, weights.dtype);
}

PackedWeights PackGateUpWeights(const Backend& backend, const TestWeights& gate, const TestWeights& up) {
  auto memory = Buffer::Allocate(backend.PackedGateUpBytes(FormatOf(gate.dtype), gate.out, gate.in), "test");
  REQUIRE(memory.ok());
  PackedWeights packed{*std::move(memory), {}};
  packed.matrix = backend.PackGateUp(gate.View(), up.View(), FormatOf(gate.dtype), packed.memory.data());
  return packed;
}

bool RoundsInputs(const std::string& isa, DType dtype) {
  return isa == "avx512" && dtype == DType::kBF16;
}

Inputs RoundedInputs(std::span<const double> values, bool round, double error) {
  Inputs inputs;
  for (const double value : values) {
    const auto at = [&](double v) {
      return round ? static_cast<double>(BF16ToFloat(FloatToBF16(static_cast<float>(v)))) : v;
    };
    const double low = at(value * (1 - error));
    const double high = at(value * (1 + error));
    inputs.values.push_back(at(value));
    inputs.slack.push_back(std::max(std::abs(low - at(value)), std::abs(high - at(value))));
  }
  return inputs;
}

Inputs RoundedInputs(std::span<const float> values, bool round) {
  const std::vector<double> wide(values.begin(), values.end());
  return RoundedInputs(wide, round, 0);
}

Expected Dot(const double* x, const double* slack, const double* w, int64_t k) {
  Expected dot;
  double magnitude = 0;
  for (int64_t i = 0; i < k; ++i) {
    dot.value += x[i] * w[i];
    magnitude += std::abs(x[i] * w[i]);
    dot.tolerance += slack[i] * std::abs(w[i]);
  }
  // A chain of k roundings of partial sums, each at most the magnitude, plus those of the products.
  dot.tolerance += (static_cast<double>(k) + 2) * kEpsilon * magnitude + 1e-30;
  return dot;
}

void RequireNear(float actual, const Expected& expected) {
  const double difference = std::abs(static_cast<double>(actual) - expected.value);
  if (!(difference <= expected.tolerance)) {
    FAIL("found " << actual << ", expected " << expected.value << " within " << expected.tolerance);
  }
}

}  // namespace guildhall
