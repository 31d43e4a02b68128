// The CPU's packed bytes, element by element as kernels/cpu/packing.h describes them.
#include "kernels/cpu/packing.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

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

Place PlaceIn(const PackShape& shape, int64_t panels, const TestBackend& on) {
  const MicroKernels& kernels = MicroKernelsOf(ChooseIsa(on.options.cpu.isa).value());
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

bool Holds(const Buffer& packed, const std::vector<std::byte>& expected) {
  return std::memcmp(packed.data(), expected.data(), expected.size()) == 0;
}

const std::pair<int64_t, int64_t> kShapes[] = {{1, 1}, {16, 64}, {17, 3}, {33, 129}, {80, 128}, {149, 103}};

}  // namespace

TEST_CASE("every element stands where the layout says, and zeros where there is none", "[cpu]") {
  Random random(4);
  for (const TestBackend& on : CpuTestBackends()) {
    auto backend = MakeTestBackend(on);
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (const auto& [out, in] : kShapes) {
        const TestWeights gate = MakeWeights(random, dtype, out, in),
                          up = MakeWeights(random, dtype, out, in);
        const TensorView parts[] = {gate.View(), up.View()};
        const PackShape stack = PackShape::Stack(FormatOf(dtype), 2 * out, in);
        const PackShape gate_up = PackShape::GateUp(FormatOf(dtype), out, in);
        std::vector<std::byte> stacked(backend->PackedBytes(stack)), paired(backend->PackedBytes(gate_up));
        const Place in_stack = PlaceIn(stack, CeilDiv(2 * out, kPanelColumns), on);
        const Place in_pairs = PlaceIn(gate_up, 2 * CeilDiv(out, kPanelColumns), on);
        for (int64_t row = 0; row < out; ++row) {
          PutRow(gate, row, row / kPanelColumns, row % kPanelColumns, in_stack, stacked);
          PutRow(up, row, (out + row) / kPanelColumns, (out + row) % kPanelColumns, in_stack, stacked);
          PutRow(gate, row, row / kPanelColumns * 2, row % kPanelColumns, in_pairs, paired);
          PutRow(up, row, row / kPanelColumns * 2 + 1, row % kPanelColumns, in_pairs, paired);
        }
        INFO(on.name << " " << DTypeName(dtype) << " " << out << " x " << in);
        CHECK(Holds(PackOnHost(*backend, stack, parts), stacked));
        CHECK(Holds(PackOnHost(*backend, gate_up, parts), paired));
      }
    }
  }
}

TEST_CASE("B of a low-rank change stands in panels of 16 outputs from the product's own borders on",
          "[cpu]") {
  Random random(5);
  for (const TestBackend& on : CpuTestBackends()) {
    auto backend = MakeTestBackend(on);
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
          CHECK(Holds(PackOnHost(*backend, shape, {&view, 1}), expected));
        }
      }
    }
  }
}

TEST_CASE("parts are asked for once, row by row in ascending order, and an error of theirs is passed on",
          "[cpu]") {
  Random random(6);
  for (const TestBackend& on : CpuTestBackends()) {
    auto backend = MakeTestBackend(on);
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
      const Buffer whole = PackOnHost(*backend, shape, parts);
      Buffer piecewise = Buffer::Allocate(backend->PackedBytes(shape), "packed").value();
      std::memset(piecewise.data(), 0xee, piecewise.size());
      REQUIRE(backend->PackFrom(shape, {rows, read}, piecewise.data()).ok());
      CHECK(next == std::vector<int64_t>(rows, rows + 2));
      CHECK(calls > 4);
      CHECK(std::memcmp(piecewise.data(), whole.data(), piecewise.size()) == 0);
      const auto fail = [&](size_t part, int64_t begin, int64_t end) -> absl::StatusOr<TensorView> {
        if (begin > 0) return absl::DataLossError("cut");
        return parts[part].Rows(begin, end);
      };
      CHECK(backend->PackFrom(shape, {rows, fail}, piecewise.data()).message() == "cut");
    }
  }
}
