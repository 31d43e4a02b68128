#include "tests/kernels/products_reference.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "base/align.h"

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

DType SourceOf(WeightFormat format) {
  return IsQuantized(format) ? DType::kBF16 : DTypeOf(format);
}

PackShape StackOf(std::span<const TensorView> parts, WeightFormat format) {
  int64_t out = 0;
  for (const TensorView& part : parts) out += part.shape[0];
  return PackShape::Stack(format, out, parts[0].shape[1]);
}

PackedWeights PackWeights(Backend& backend, std::span<const TensorView> parts, WeightFormat format) {
  return PackOnDevice(backend, StackOf(parts, format), parts);
}

PackedWeights PackWeights(Backend& backend, const TestWeights& weights) {
  const TensorView view = weights.View();
  return PackWeights(backend, {&view, 1}, FormatOf(weights.dtype));
}

PackedHeads PackHeads(Backend& backend, const std::vector<TestWeights>& heads) {
  const PackShape shape =
      PackShape::Stack(FormatOf(heads.front().dtype), heads.front().out, heads.front().in);
  const size_t stride = AlignUp(backend.PackedBytes(shape));
  auto memory = Buffer::Allocate(heads.size() * stride, "test");
  REQUIRE(memory.ok());
  for (size_t head = 0; head < heads.size(); ++head) {
    const TensorView view = heads[head].View();
    backend.Pack(shape, {&view, 1}, memory->data() + head * stride);
  }
  PackedHeads packed{CopyToDevice(backend, {memory->data(), memory->size()}), {}};
  packed.matrices = {shape.At(packed.memory.data()), static_cast<int64_t>(heads.size()), stride};
  return packed;
}

Buffer PackOnHost(const Backend& backend, const PackShape& shape, std::span<const TensorView> parts) {
  auto memory = Buffer::Allocate(backend.PackedBytes(shape), "test");
  REQUIRE(memory.ok());
  backend.Pack(shape, parts, memory->data());
  return *std::move(memory);
}

namespace {

float BF16At(const std::byte* p) {
  uint16_t bits = 0;
  std::memcpy(&bits, p, sizeof(bits));
  return BF16ToFloat(bits);
}

}  // namespace

std::vector<double> Dequantized(const std::byte* packed, WeightFormat format, int64_t panels, int64_t in) {
  std::vector<double> values(static_cast<size_t>(panels * 16 * in));
  const int64_t blocks = (in + 31) / 32, code_bytes = format == WeightFormat::kInt8 ? 512 : 256;
  const bool offsets = format == WeightFormat::kInt4Offset;
  for (int64_t panel = 0; panel < panels; ++panel) {
    const int64_t first = panel / 2 * 2, group = std::min<int64_t>(2, panels - first);
    const int64_t scale_bytes = 32 * group, unit = group * code_bytes + scale_bytes * (offsets ? 2 : 1);
    for (int64_t block = 0; block < blocks; ++block) {
      const std::byte* at = packed + first * blocks * (code_bytes + (offsets ? 64 : 32)) + block * unit;
      const std::byte* codes = at + scale_bytes * (offsets ? 2 : 1);
      for (int64_t c = 0; c < 16; ++c) {
        const double scale = BF16At(at + (panel - first) * 32 + c * 2);
        const double offset = offsets ? BF16At(at + scale_bytes + (panel - first) * 32 + c * 2) : 0.0;
        for (int64_t k = 0; k < std::min<int64_t>(32, in - block * 32); ++k) {
          const int64_t quad = k / 4, place = format == WeightFormat::kInt8 ? quad : quad / 2;
          int code = std::to_integer<int>(codes[((place * group + panel - first) * 16 + c) * 4 + k % 4]);
          if (format == WeightFormat::kInt8) code -= 128;
          if (format != WeightFormat::kInt8) code = quad % 2 == 0 ? code & 15 : code >> 4;
          if (format == WeightFormat::kInt4) code -= 8;
          values[static_cast<size_t>((panel * 16 + c) * in + block * 32 + k)] = scale * code + offset;
        }
      }
    }
  }
  return values;
}

namespace {

// A value as products take it.
double RoundedValue(double value, Rounding rounding) {
  const auto single = static_cast<float>(value);
  if (rounding == Rounding::kBF16) return static_cast<double>(BF16ToFloat(FloatToBF16(single)));
  // To 10 bits behind the point, ties away from 0.
  if (rounding == Rounding::kTF32) {
    return static_cast<double>(std::bit_cast<float>((std::bit_cast<uint32_t>(single) + 0x1000u) & ~0x1fffu));
  }
  return value;
}

// Makes the values those of the codes of a quantized format, which a library gets rounded.
void TakeCodes(TestWeights& weights, WeightFormat format) {
  if (!IsQuantized(format)) return;
  const TensorView view = weights.View();
  const auto portable = CpuTestBackends().front().make(1);
  const Buffer packed = PackOnHost(*portable, StackOf({&view, 1}, format), {&view, 1});
  weights.values = Dequantized(packed.data(), format, (weights.out + 15) / 16, weights.in);
  weights.values.resize(static_cast<size_t>(weights.out * weights.in));
  if (TestProducts() == DeviceProducts::kExact) return;
  for (double& value : weights.values) value = RoundedValue(value, Rounding::kBF16);
}

}  // namespace

PackedWeights PackWeightsAs(Backend& backend, TestWeights& weights, WeightFormat format) {
  TakeCodes(weights, format);
  const TensorView view = weights.View();
  return PackWeights(backend, {&view, 1}, format);
}

PackedWeights PackGateUpWeightsAs(Backend& backend, TestWeights& gate, TestWeights& up, WeightFormat format) {
  TakeCodes(gate, format);
  TakeCodes(up, format);
  const TensorView parts[] = {gate.View(), up.View()};
  return PackOnDevice(backend, PackShape::GateUp(format, gate.out, gate.in), parts);
}

namespace {

// The codes of a block are those of the definition in float32; with inexact values a code near a border may
// be the next one.
void AddInt8Block(std::span<const double> block, double relative, double absolute, Inputs& inputs) {
  float largest = 0;
  for (const double v : block) largest = std::max(largest, std::abs(static_cast<float>(v)));
  const double step = static_cast<double>(largest / 127.0f);
  const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
  const double off = largest > 0 ? relative + absolute / static_cast<double>(largest) : 0.0;
  for (const double v : block) {
    const float code = std::nearbyint(static_cast<float>(v) * inverse);
    inputs.values.push_back(static_cast<double>(code) * step);
    const double near = 127 * 2 * off, exact = v * static_cast<double>(inverse);
    const bool border = off > 0 && std::nearbyint(exact - near) != std::nearbyint(exact + near);
    inputs.slack.push_back(std::abs(inputs.values.back()) * off + (border ? step : 0.0));
  }
}

}  // namespace

Inputs RoundedInputs(std::span<const double> row, Rounding rounding, double relative, double absolute) {
  Inputs inputs;
  inputs.rounding = rounding;
  if (rounding == Rounding::kInt8) {
    for (size_t i = 0; i < row.size(); i += 32) {
      AddInt8Block(row.subspan(i, std::min<size_t>(32, row.size() - i)), relative, absolute, inputs);
    }
    return inputs;
  }
  for (const double value : row) {
    const double rounded = RoundedValue(value, rounding);
    const double low = RoundedValue(value * (1 - relative), rounding);
    const double high = RoundedValue(value * (1 + relative), rounding);
    inputs.values.push_back(rounded);
    inputs.slack.push_back(std::max(std::abs(low - rounded), std::abs(high - rounded)) + absolute);
  }
  return inputs;
}

Inputs RoundedInputs(std::span<const float> row, Rounding rounding) {
  const std::vector<double> wide(row.begin(), row.end());
  return RoundedInputs(wide, rounding, 0, 0);
}

Expected Dot(const Inputs& x, const double* w, int64_t k, WeightFormat format) {
  Expected dot;
  double magnitude = 0, sum_x = 0, largest_w = 0;
  for (int64_t i = 0; i < k; ++i) {
    const auto at = static_cast<size_t>(i);
    dot.value += x.values[at] * w[i];
    magnitude += std::abs(x.values[at] * w[i]);
    dot.tolerance += x.slack[at] * std::abs(w[i]);
    sum_x += std::abs(x.values[at]);
    largest_w = std::max(largest_w, std::abs(w[i]));
  }
  // A chain of roundings of partial sums, each at most the magnitude, plus those of the products. The parts
  // scale * q and offset of a quantized weight are each at most twice the largest weight.
  double links = static_cast<double>(k) + 2;
  if (IsQuantized(format)) {
    const double of_blocks = 2 * static_cast<double>((k + 31) / 32) + 2;
    links = x.rounding == Rounding::kInt8 ? of_blocks : links + of_blocks;
    if (format == WeightFormat::kInt4Offset) {
      links *= 2;
      magnitude = 4 * sum_x * largest_w;
    }
  }
  dot.tolerance += links * kEpsilon * magnitude + 1e-30;
  return dot;
}

void RequireNear(float actual, const Expected& expected) {
  const double difference = std::abs(static_cast<double>(actual) - expected.value);
  if (!(difference <= expected.tolerance)) {
    FAIL("found " << actual << ", expected " << expected.value << " within " << expected.tolerance);
  }
}

}  // namespace guildhall
