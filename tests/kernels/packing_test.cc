#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "kernels/cpu/packing.h"
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

// Element k of column c of panel p in the layout that kernels/cpu/packing.h describes, of the formats with
// unpacked elements.
struct Place {
  int64_t panels = 0, group_panels = 0, in = 0;
  WeightFormat format;

  size_t operator()(int64_t panel, int64_t column, int64_t k) const {
    const int64_t unit = KUnit(format), first = panel / group_panels * group_panels;
    const int64_t size = std::min(group_panels, panels - first);
    const int64_t units = CeilDiv(in, unit) * first + k / unit * size + panel - first;
    return static_cast<size_t>((units * kPanelColumns + column) * unit + k % unit) *
           DTypeSize(DTypeOf(format));
  }
};

Place PlaceIn(const PackShape& shape, int64_t panels, const std::string& isa) {
  const MicroKernels& kernels = MicroKernelsOf(ChooseIsa(isa).value());
  return {panels, kernels.group_panels[static_cast<size_t>(shape.format)], shape.in, shape.format};
}

void PutRow(const TestWeights& weights, int64_t row, int64_t panel, int64_t column, const Place& place,
            std::vector<std::byte>& expected) {
  const size_t size = DTypeSize(weights.dtype);
  for (int64_t k = 0; k < weights.in; ++k) {
    std::memcpy(&expected.at(place(panel, column, k)),
                &weights.bytes[static_cast<size_t>(row * weights.in + k) * size], size);
  }
}

bool Holds(const PackedWeights& packed, const std::vector<std::byte>& expected) {
  return std::memcmp(packed.memory.data(), expected.data(), expected.size()) == 0;
}

const std::pair<int64_t, int64_t> kShapes[] = {{1, 1}, {16, 64}, {17, 3}, {33, 129}, {80, 128}, {149, 103}};

bool SameBytes(const PackedWeights& a, const PackedWeights& b) {
  return a.memory.size() == b.memory.size() &&
         std::memcmp(a.memory.data(), b.memory.data(), a.memory.size()) == 0;
}

}  // namespace

TEST_CASE("packed bytes are whole panels of 16 columns and whole units of k") {
  for (const std::string& isa : TestIsas()) {
    auto backend = MakeTestBackend(isa);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kF32), 17, 3)) == 32 * 3 * 4);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kF16), 16, 3)) == 16 * 3 * 2);
    CHECK(backend->PackedBytes(PackShape::Stack(FormatOf(DType::kBF16), 1, 3)) == 16 * 4 * 2);
    CHECK(backend->PackedBytes(PackShape::GateUp(FormatOf(DType::kBF16), 17, 2)) == 2 * 32 * 2 * 2);
  }
}

TEST_CASE("stacked parts are packed as one matrix, converted to the asked dtype") {
  for (const std::string& isa : TestIsas()) {
    auto backend = MakeTestBackend(isa);
    Random random(1);
    const TestWeights q = MakeWeights(random, DType::kBF16, 33, 19);
    const TestWeights k = MakeWeights(random, DType::kF16, 5, 19);
    const TestWeights v = MakeWeights(random, DType::kF32, 7, 19);
    const TensorView parts[] = {q.View(), k.View(), v.View()};
    const PackedWeights stacked = PackWeights(*backend, parts, DType::kF32);
    CHECK(stacked.matrix.out == 45);
    CHECK(stacked.matrix.in == 19);
    TestWeights whole{DType::kF32, 45, 19, {}, {}};
    for (const TestWeights* part : {&q, &k, &v}) {
      const TestWeights wide = Widened(*part);
      whole.bytes.insert(whole.bytes.end(), wide.bytes.begin(), wide.bytes.end());
    }
    CHECK(SameBytes(stacked, PackWeights(*backend, whole)));
  }
}

TEST_CASE("tensors at odd addresses pack to the same bytes") {
  auto backend = MakeTestBackend("portable");
  Random random(2);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const TestWeights weights = MakeWeights(random, dtype, 20, 70);
    std::vector<std::byte> shifted(weights.bytes.size() + 1);
    std::copy(weights.bytes.begin(), weights.bytes.end(), shifted.begin() + 1);
    const TensorView view{dtype, {20, 70}, shifted.data() + 1};
    CHECK(SameBytes(PackWeights(*backend, {&view, 1}, dtype), PackWeights(*backend, weights)));
  }
}

TEST_CASE("narrowing to F16 rounds to nearest even, over all halves and the borders between them") {
  auto backend = MakeTestBackend("portable");
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
  CHECK(SameBytes(PackWeights(*backend, {&wide, 1}, DType::kF16),
                  PackWeights(*backend, {&narrow, 1}, DType::kF16)));
}

TEST_CASE("narrowing to BF16 rounds to nearest even") {
  auto backend = MakeTestBackend("portable");
  Random random(3);
  const auto values = random.Floats(64);
  std::vector<uint16_t> expected;
  for (const float value : values) expected.push_back(FloatToBF16(value));
  const TensorView wide{DType::kF32, {8, 8}, reinterpret_cast<const std::byte*>(values.data())};
  const TensorView narrow{DType::kBF16, {8, 8}, reinterpret_cast<const std::byte*>(expected.data())};
  CHECK(SameBytes(PackWeights(*backend, {&wide, 1}, DType::kBF16),
                  PackWeights(*backend, {&narrow, 1}, DType::kBF16)));
}

TEST_CASE("every element stands where the layout says, and zeros where there is none") {
  Random random(4);
  for (const std::string& isa : TestIsas()) {
    auto backend = MakeTestBackend(isa);
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (const auto& [out, in] : kShapes) {
        const TestWeights gate = MakeWeights(random, dtype, out, in),
                          up = MakeWeights(random, dtype, out, in);
        const TensorView parts[] = {gate.View(), up.View()};
        const PackShape stack = PackShape::Stack(FormatOf(dtype), 2 * out, in);
        const PackShape gate_up = PackShape::GateUp(FormatOf(dtype), out, in);
        std::vector<std::byte> stacked(backend->PackedBytes(stack)), paired(backend->PackedBytes(gate_up));
        const Place in_stack = PlaceIn(stack, CeilDiv(2 * out, kPanelColumns), isa);
        const Place in_pairs = PlaceIn(gate_up, 2 * CeilDiv(out, kPanelColumns), isa);
        for (int64_t row = 0; row < out; ++row) {
          PutRow(gate, row, row / kPanelColumns, row % kPanelColumns, in_stack, stacked);
          PutRow(up, row, (out + row) / kPanelColumns, (out + row) % kPanelColumns, in_stack, stacked);
          PutRow(gate, row, row / kPanelColumns * 2, row % kPanelColumns, in_pairs, paired);
          PutRow(up, row, row / kPanelColumns * 2 + 1, row % kPanelColumns, in_pairs, paired);
        }
        INFO(isa << " " << DTypeName(dtype) << " " << out << " x " << in);
        CHECK(Holds(PackAs(*backend, stack, parts), stacked));
        CHECK(Holds(PackAs(*backend, gate_up, parts), paired));
      }
    }
  }
}

TEST_CASE("B of a low-rank change stands in panels of 16 outputs from the product's own borders on") {
  Random random(5);
  for (const std::string& isa : TestIsas()) {
    auto backend = MakeTestBackend(isa);
    for (const DType dtype : {DType::kF32, DType::kBF16}) {
      for (const auto& [out, rank] : kShapes) {
        for (const int64_t begin : {0, 16, 23, 31}) {
          const TestWeights b = MakeWeights(random, dtype, out, rank);
          const PackShape shape = PackShape::LowRankB(FormatOf(dtype), begin, out, rank);
          const size_t size = DTypeSize(dtype);
          std::vector<std::byte> expected(backend->PackedBytes(shape));
          for (int64_t row = 0; row < out; ++row) {
            const int64_t column = begin % kPanelColumns + row;
            for (int64_t k = 0; k < rank; ++k) {
              const int64_t place =
                  (column / kPanelColumns * rank + k) * kPanelColumns + column % kPanelColumns;
              std::memcpy(&expected.at(static_cast<size_t>(place) * size),
                          &b.bytes[static_cast<size_t>(row * rank + k) * size], size);
            }
          }
          const TensorView view = b.View();
          CHECK(Holds(PackAs(*backend, shape, {&view, 1}), expected));
        }
      }
    }
  }
}

TEST_CASE("parts are asked for once, row by row in ascending order, and an error of theirs is passed on") {
  Random random(6);
  for (const std::string& isa : TestIsas()) {
    auto backend = MakeTestBackend(isa);
    const TestWeights first = MakeWeights(random, DType::kBF16, 300, 2050);
    const TestWeights second = MakeWeights(random, DType::kBF16, 300, 2050);
    const TensorView parts[] = {first.View(), second.View()};
    const int64_t rows[] = {300, 300};
    for (const PackShape& shape : {PackShape::Stack(WeightFormat::kBF16, 600, 2050),
                                   PackShape::GateUp(WeightFormat::kBF16, 300, 2050)}) {
      std::vector<int64_t> next(2, 0);
      int calls = 0;
      const auto read = [&](size_t part, int64_t begin, int64_t end) {
        ++calls;
        CHECK(begin == next[part]);
        CHECK(end > begin);
        next[part] = end;
        return parts[part].Rows(begin, end);
      };
      const PackedWeights whole = PackAs(*backend, shape, parts);
      Buffer piecewise = Buffer::Allocate(backend->PackedBytes(shape), "packed").value();
      std::memset(piecewise.data(), 0xee, piecewise.size());
      REQUIRE(backend->PackFrom(shape, {rows, read}, piecewise.data()).ok());
      CHECK(next == std::vector<int64_t>(rows, rows + 2));
      CHECK(calls > 4);
      CHECK(std::memcmp(piecewise.data(), whole.memory.data(), piecewise.size()) == 0);
      const auto fail = [&](size_t part, int64_t begin, int64_t end) -> absl::StatusOr<TensorView> {
        if (begin > 0) return absl::DataLossError("cut");
        return parts[part].Rows(begin, end);
      };
      CHECK(backend->PackFrom(shape, {rows, fail}, piecewise.data()).message() == "cut");
    }
  }
}
