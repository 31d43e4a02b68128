// Rounding to integers: by hand, against its definition, and the same at every level.
#include "kernels/cpu/quantize.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/packing.h"
#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<RowBlock> Quantize(const std::vector<float>& x, Isa isa) {
  std::vector<RowBlock> blocks((x.size() + 31) / 32);
  QuantizeRow(x.data(), static_cast<int64_t>(x.size()), blocks.data(), isa);
  return blocks;
}

// A block of one column of a panel; the other columns hold other things.
struct Block {
  double scale, offset;
  std::vector<int> codes;

  double Value(size_t k, WeightFormat format) const {
    const int bias = format == WeightFormat::kInt8 ? 128 : format == WeightFormat::kInt4 ? 8 : 0;
    return scale * (codes[k] - bias) + offset;
  }
};

Block QuantizeColumn(const std::vector<float>& w, WeightFormat format, Isa isa, size_t column = 5) {
  Random random(9);
  std::vector<float> panel = random.Floats(32 * 16);
  for (size_t k = 0; k < w.size(); ++k) panel[k * 16 + column] = w[k];
  PanelBlock block;
  QuantizePanelBlock(panel.data(), static_cast<int64_t>(w.size()), format, isa, block);
  Block result{BF16ToFloat(block.scale[column]), BF16ToFloat(block.offset[column]), {}};
  for (const auto& row : block.code) result.codes.push_back(row[column]);
  return result;
}

double SquaredError(const std::vector<float>& w, const Block& block, WeightFormat format) {
  double sum = 0;
  for (size_t k = 0; k < w.size(); ++k)
    sum += std::pow(static_cast<double>(w[k]) - block.Value(k, format), 2);
  return sum;
}

}  // namespace

TEST_CASE("a row becomes blocks of codes with the largest magnitude at 127", "[cpu]") {
  for (const Isa isa : SupportedIsas()) {
    std::vector<float> x(35, 0.0f);
    x[0] = 1.0f, x[1] = -2.0f, x[2] = 0.5f * 2 / 127, x[3] = 1.5f * 2 / 127, x[4] = 0.4f * 2 / 127;
    x[32] = 254.0f, x[34] = -253.0f;
    const auto blocks = Quantize(x, isa);
    REQUIRE(blocks.size() == 2);
    CHECK(blocks[0].scale == 2.0f / 127.0f);
    // 63.5 and 0.5, 1.5 go to the even neighbour.
    const std::vector<int> expected = {64, -127, 0, 2, 0, 0};
    for (size_t i = 0; i < expected.size(); ++i) CHECK(blocks[0].q[i] == expected[i]);
    CHECK(blocks[0].sum == 64 - 127 + 2);
    CHECK(blocks[1].scale == 2.0f);
    CHECK(blocks[1].q[0] == 127);
    CHECK(blocks[1].q[2] == -126);  // -126.5
    for (size_t i = 3; i < 32; ++i) CHECK(blocks[1].q[i] == 0);
    CHECK(blocks[1].sum == 1);
  }
}

TEST_CASE("rows have the same blocks at every level, and no code is more than half a step off", "[cpu]") {
  Random random(1);
  for (const int64_t width : {1, 7, 31, 32, 33, 64, 100, 257}) {
    std::vector<float> x = random.Floats(width);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= std::ldexp(1.0f, static_cast<int>(i % 40) - 20);
    const auto blocks = Quantize(x, Isa::kPortable);
    for (const Isa isa : SupportedIsas()) {
      const auto other = Quantize(x, isa);
      REQUIRE(std::memcmp(blocks.data(), other.data(), blocks.size() * sizeof(RowBlock)) == 0);
    }
    for (size_t i = 0; i < blocks.size() * 32; ++i) {
      const RowBlock& block = blocks[i / 32];
      const double value = i < x.size() ? static_cast<double>(x[i]) : 0.0;
      const double step = static_cast<double>(block.scale);
      REQUIRE(std::abs(step * block.q[i % 32] - value) <= step * 0.50001);
    }
  }
}

TEST_CASE("a block of a row that holds no number has the scale NaN, a tiny one is zero", "[cpu]") {
  for (const Isa isa : SupportedIsas()) {
    for (const float broken : {kNaN, -kNaN, kInfinity, -kInfinity}) {
      std::vector<float> x(96, 1.0f);
      x[40] = broken;
      const auto blocks = Quantize(x, isa);
      CHECK(std::isnan(blocks[1].scale));
      CHECK(blocks[1].sum == 0);
      for (const int8_t q : blocks[1].q) CHECK(q == 0);
      for (const size_t b : {size_t{0}, size_t{2}}) CHECK(blocks[b].scale == 1.0f / 127.0f);
    }
    for (const float tiny : {0.0f, -0.0f, 1e-45f, 1e-31f}) {
      const auto blocks = Quantize(std::vector<float>(32, tiny), isa);
      CHECK(blocks[0].scale == 0.0f);
      CHECK(blocks[0].q[7] == 0);
    }
    const auto large = Quantize(std::vector<float>(32, std::numeric_limits<float>::max()), isa);
    CHECK(large[0].q[0] == 127);
    CHECK(std::isfinite(large[0].scale));
  }
}

TEST_CASE("weights in int8: the largest magnitude at 127, by hand", "[cpu]") {
  for (const Isa isa : SupportedIsas()) {
    std::vector<float> w(32, 0.0f);
    w[0] = -127.0f, w[1] = 3.4f, w[2] = 64.5f, w[31] = 126.0f;
    const Block block = QuantizeColumn(w, WeightFormat::kInt8, isa);
    CHECK(block.scale == 1.0);
    CHECK(block.offset == 0.0);
    CHECK(block.codes[0] == 128 - 127);
    CHECK(block.codes[1] == 128 + 3);
    CHECK(block.codes[2] == 128 + 64);  // to even
    CHECK(block.codes[3] == 128);
    CHECK(block.codes[31] == 128 + 126);
  }
}

TEST_CASE("weights in int4: multiples of a scale come back as they are", "[cpu]") {
  for (const Isa isa : SupportedIsas()) {
    std::vector<float> w;
    for (int k = 0; k < 32; ++k) w.push_back(0.25f * static_cast<float>(k % 16 - 8));
    const Block block = QuantizeColumn(w, WeightFormat::kInt4, isa);
    CHECK(block.scale == 0.25);
    for (int k = 0; k < 32; ++k) CHECK(block.codes[static_cast<size_t>(k)] == k % 16);
    // The other sign: the extreme is positive, so the scale is negative.
    for (float& v : w) v = -v;
    const Block negative = QuantizeColumn(w, WeightFormat::kInt4, isa);
    CHECK(negative.scale == -0.25);
    for (int k = 0; k < 32; ++k) CHECK(negative.codes[static_cast<size_t>(k)] == k % 16);
    for (float& v : w) v = 3.0f - 0.5f * v;
    const Block offset = QuantizeColumn(w, WeightFormat::kInt4Offset, isa);
    CHECK(offset.scale == 0.125);
    CHECK(offset.offset == 2.0);
    for (int k = 0; k < 32; ++k) CHECK(offset.codes[static_cast<size_t>(k)] == k % 16);
  }
}

TEST_CASE("blocks of weights are the same at every level, and as near as their format can be", "[cpu]") {
  Random random(2);
  for (const int64_t count : {1, 2, 31, 32, 32, 32, 32}) {
    std::vector<float> w = random.Floats(count);
    for (float& v : w) v = v * v * v + 0.2f;
    const double largest = static_cast<double>(std::abs(
        *std::max_element(w.begin(), w.end(), [](float a, float b) { return std::abs(a) < std::abs(b); })));
    const auto [least, most] = std::minmax_element(w.begin(), w.end());
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
      INFO(WeightFormatName(format) << " count " << count);
      const Block block = QuantizeColumn(w, format, Isa::kPortable);
      for (const Isa isa : SupportedIsas()) {
        for (const size_t column : {size_t{0}, size_t{15}}) {
          const Block other = QuantizeColumn(w, format, isa, column);
          REQUIRE(other.scale == block.scale);
          REQUIRE(other.offset == block.offset);
          REQUIRE(other.codes == block.codes);
        }
      }
      // What stands behind the end is zero.
      const int zero = format == WeightFormat::kInt8 ? 128 : format == WeightFormat::kInt4 ? 8 : 0;
      for (size_t k = w.size(); k < 32; ++k) REQUIRE(block.codes[k] == zero);
      if (format == WeightFormat::kInt8) {
        for (size_t k = 0; k < w.size(); ++k) {
          REQUIRE(std::abs(block.Value(k, format) - static_cast<double>(w[k])) <=
                  0.5001 * std::abs(block.scale));
        }
        continue;
      }
      // No worse than the plain ways: the largest magnitude at -8, or the range in 15 steps.
      double plain = 0;
      for (const float v : w) {
        const double low = static_cast<double>(*least), range = static_cast<double>(*most) - low;
        const double sign = static_cast<double>(v);
        const double step = format == WeightFormat::kInt4 ? largest / 8 : range / 15;
        const double from = format == WeightFormat::kInt4 ? 0.0 : low;
        const double code = step > 0 ? std::nearbyint((sign - from) / step) : 0.0;
        const double error = from + step * std::min(code, format == WeightFormat::kInt4 ? 8.0 : 15.0) - sign;
        plain += error * error;
      }
      // bf16 rounds scale and offset.
      const double rounding = static_cast<double>(count) * std::pow(largest * 0x1p-8, 2);
      REQUIRE(SquaredError(w, block, format) <= plain * 1.05 + rounding);
    }
  }
}

TEST_CASE("a column of weights that holds no number has the scale NaN, and only that column", "[cpu]") {
  for (const Isa isa : SupportedIsas()) {
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
      for (const float broken : {kNaN, -kNaN, kInfinity, -kInfinity}) {
        std::vector<float> panel(32 * 16, 1.0f);
        panel[7 * 16 + 3] = broken;
        PanelBlock block;
        QuantizePanelBlock(panel.data(), 32, format, isa, block);
        const int zero = format == WeightFormat::kInt8 ? 128 : format == WeightFormat::kInt4 ? 8 : 0;
        for (size_t c = 0; c < 16; ++c) {
          CHECK(std::isnan(BF16ToFloat(block.scale[c])) == (c == 3));
          CHECK(!std::isnan(BF16ToFloat(block.offset[c])));
          if (c == 3) CHECK(block.code[7][c] == zero);
        }
      }
      for (const float extreme : {0.0f, 1e-45f, 1e-33f, std::numeric_limits<float>::max()}) {
        std::vector<float> w(32, extreme);
        w[1] = -extreme;
        const Block block = QuantizeColumn(w, format, isa);
        CHECK(std::isfinite(block.scale));
        CHECK(std::isfinite(block.offset));
        for (size_t k = 0; k < 32; ++k) {
          const double value = static_cast<double>(w[k]);
          CHECK(std::abs(block.Value(k, format) - value) <= 0.15 * std::abs(value) + 1e-30);
        }
      }
    }
  }
}

namespace {

// Gate and up alternate by panels of 16 columns, each with the codes that it has in a matrix of its own.
void RequireGateUp(const Buffer& both, const TestWeights& gate, const TestWeights& up, WeightFormat format) {
  const auto portable = CpuTestBackends().front().make(1);
  const int64_t panels = (gate.out + 15) / 16;
  const auto values = Dequantized(both.data(), format, 2 * panels, gate.in);
  for (const TestWeights* part : {&gate, &up}) {
    const TensorView view = part->View();
    const Buffer alone = PackOnHost(*portable, StackOf({&view, 1}, format), {&view, 1});
    const auto expected = Dequantized(alone.data(), format, panels, gate.in);
    for (int64_t c = 0; c < gate.out; ++c) {
      const auto at = values.begin() + (c / 16 * 32 + c % 16 + (part == &up ? 16 : 0)) * gate.in;
      REQUIRE(std::equal(at, at + gate.in, expected.begin() + c * gate.in));
    }
  }
}

}  // namespace

TEST_CASE("quantized matrices have the same packed bytes at every level", "[cpu]") {
  Random random(3);
  for (const auto& [out, in] : {std::pair<int64_t, int64_t>{1, 1}, {16, 32}, {33, 70}, {65, 129}}) {
    const TestWeights a = MakeWeights(random, DType::kF32, out, in),
                      b = MakeWeights(random, DType::kF16, out, in);
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
      const auto portable = CpuTestBackends().front().make(1);
      const TensorView parts[] = {a.View(), b.View()};
      const PackShape stack = StackOf(parts, format), gate_up = PackShape::GateUp(format, out, in);
      const Buffer first = PackOnHost(*portable, stack, parts), both = PackOnHost(*portable, gate_up, parts);
      for (const TestBackend& on : CpuTestBackends()) {
        const auto backend = on.make(1);
        const Buffer other = PackOnHost(*backend, stack, parts);
        REQUIRE(std::memcmp(first.data(), other.data(), first.size()) == 0);
        const Buffer second = PackOnHost(*backend, gate_up, parts);
        REQUIRE(std::memcmp(both.data(), second.data(), both.size()) == 0);
      }
      RequireGateUp(both, a, b, format);
      // Every value is near the one that it stands for.
      const auto values = Dequantized(first.data(), format, (2 * out + 15) / 16, in);
      for (int64_t i = 0; i < 2 * out * in; ++i) {
        const auto at = static_cast<size_t>(i);
        const double expected = i < out * in ? a.values[at] : b.values[at - a.values.size()];
        REQUIRE(std::abs(values[at] - expected) <= (format == WeightFormat::kInt8 ? 0.5001 / 127 : 0.15));
      }
      for (size_t i = static_cast<size_t>(2 * out * in); i < values.size(); ++i) REQUIRE(values[i] == 0.0);
    }
  }
}

TEST_CASE("packed bytes of quantized formats are whole panels and whole blocks of 32", "[cpu]") {
  const auto backend = CpuTestBackends().front().make(1);
  CHECK(backend->PackedBytes(PackShape::Stack(WeightFormat::kInt8, 17, 33)) == 2 * 2 * 16 * (32 + 2));
  CHECK(backend->PackedBytes(PackShape::Stack(WeightFormat::kInt4, 16, 32)) == 16 * (16 + 2));
  CHECK(backend->PackedBytes(PackShape::Stack(WeightFormat::kInt4Offset, 1, 65)) == 3 * 16 * (16 + 4));
  CHECK(backend->PackedBytes(PackShape::GateUp(WeightFormat::kInt4, 17, 1)) == 2 * 2 * 16 * (16 + 2));
}
