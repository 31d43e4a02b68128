// The bytes that are packed for CUDA, element by element by the functions of kernels/cuda/weight_layout.h.
#include "kernels/cuda/packing.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "base/convert.h"
#include "kernels/cuda/weight_layout.h"
#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

uint16_t HalfAt(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, sizeof(bits));
  return bits;
}

// What stands for one weight of a tile.
double ElementOf(const std::byte* tile, WeightFormat format, int outputs, int o, int k) {
  switch (format) {
    case WeightFormat::kF32: {
      float value;
      std::memcpy(&value, tile + cuda::PlaceOfF32(outputs, o, k), sizeof(value));
      return static_cast<double>(value);
    }
    case WeightFormat::kBF16:
      return static_cast<double>(BF16ToFloat(HalfAt(tile + cuda::PlaceOfHalf(o, k))));
    case WeightFormat::kF16:
      return static_cast<double>(F16ToFloat(HalfAt(tile + cuda::PlaceOfHalf(o, k))));
    default:
      break;
  }
  const double scale = BF16ToFloat(HalfAt(tile + cuda::PlaceOfScale(format, outputs, o, k / 32)));
  if (format == WeightFormat::kInt8) {
    return scale * std::to_integer<int8_t>(tile[cuda::PlaceOfInt8(o, k)]);
  }
  const int code = std::to_integer<int>(tile[cuda::PlaceOfInt4(o, k)]) >> cuda::ShiftOfInt4(o) & 15;
  if (format == WeightFormat::kInt4) return scale * (code - 8);
  return scale * code +
         static_cast<double>(BF16ToFloat(HalfAt(tile + cuda::PlaceOfOffset(outputs, o, k / 32))));
}

// Of one part, (all outputs of its strips, all k of its tiles).
std::vector<double> Unpacked(const std::byte* packed, const cuda::TileLayout& layout, int part) {
  const int tile_k = cuda::TileK(layout.format);
  std::vector<double> values;
  for (int64_t strip = 0; strip < layout.strips(); ++strip) {
    const int outputs = layout.StripOutputs(strip);
    for (int o = 0; o < outputs; ++o) {
      for (int64_t tile = 0; tile < layout.tiles(); ++tile) {
        const std::byte* at = packed + layout.TileOffset(strip, tile, part);
        for (int k = 0; k < tile_k; ++k) values.push_back(ElementOf(at, layout.format, outputs, o, k));
      }
    }
  }
  return values;
}

double Rounded(double value, WeightFormat format) {
  const auto narrow = static_cast<float>(value);
  if (format == WeightFormat::kBF16) return static_cast<double>(BF16ToFloat(FloatToBF16(narrow)));
  if (format == WeightFormat::kF16) return static_cast<double>(F16ToFloat(FloatToF16(narrow)));
  return value;
}

// (out, in) that a format makes of some weights: of the quantized ones the CPU's codes.
std::vector<double> ValuesIn(const TestWeights& weights, WeightFormat format) {
  std::vector<double> values;
  if (!IsQuantized(format)) {
    for (const double value : weights.values) values.push_back(Rounded(value, format));
    return values;
  }
  const TensorView view = weights.View();
  const auto cpu = CpuTestBackends().front().make(1);
  const Buffer packed = PackOnHost(*cpu, StackOf({&view, 1}, format), {&view, 1});
  values = Dequantized(packed.data(), format, (weights.out + 15) / 16, weights.in);
  values.resize(weights.values.size());
  return values;
}

// Fails unless these are the values of one part, with zeros behind the ends; but what an offset's block has
// behind its end, which is multiplied with zeros, is of no matter.
void RequirePart(const std::vector<double>& unpacked, const cuda::TileLayout& layout,
                 const std::vector<double>& values) {
  REQUIRE(!unpacked.empty());
  const int64_t padded = layout.tiles() * cuda::TileK(layout.format);
  for (size_t i = 0; i < unpacked.size(); ++i) {
    const auto o = static_cast<int64_t>(i) / padded, k = static_cast<int64_t>(i) % padded;
    const bool there = o < layout.out && k < layout.in;
    const bool in_block = k / kQuantBlock <= (layout.in - 1) / kQuantBlock;
    if (layout.format == WeightFormat::kInt4Offset && o < layout.out && !there && in_block) continue;
    const double expected = there ? values[static_cast<size_t>(o * layout.in + k)] : 0.0;
    if (unpacked[i] == expected) continue;
    INFO("output " << o << " k " << k);
    REQUIRE(unpacked[i] == expected);
  }
}

// Packs over bytes of any content, a few rows at a time.
std::vector<std::byte> Pack(const PackShape& shape, std::span<const TestWeights* const> parts,
                            std::byte before = std::byte{0xee}) {
  std::vector<int64_t> rows, next(parts.size(), 0);
  for (const TestWeights* part : parts) rows.push_back(part->out);
  const auto read = [&](size_t part, int64_t begin, int64_t end) {
    CHECK(begin == next[part]);
    CHECK(end > begin);
    CHECK(((end - begin) * shape.in * 4 <= 256 << 10 || end - begin <= 16));
    next[part] = end;
    return parts[part]->View().Rows(begin, end);
  };
  std::vector<std::byte> packed(cuda::PackedBytesOf(shape), before);
  REQUIRE(cuda::PackWeights(shape, {rows, read}, packed.data()).ok());
  CHECK(next == rows);
  return packed;
}

constexpr WeightFormat kFormats[] = {WeightFormat::kF32,  WeightFormat::kBF16, WeightFormat::kF16,
                                     WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset};
const std::pair<int64_t, int64_t> kShapes[] = {{1, 1},   {15, 31},  {16, 32},  {17, 33},
                                               {48, 63}, {64, 64},  {65, 65},  {80, 129},
                                               {127, 7}, {128, 96}, {150, 97}, {200, 256}};

}  // namespace

TEST_CASE("every element packed for CUDA stands where its layout says, and zeros where there is none") {
  Random random(1);
  for (const WeightFormat format : kFormats) {
    for (const DType source : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (const auto& [out, in] : kShapes) {
        INFO(WeightFormatName(format) << " of " << DTypeName(source) << " " << out << " x " << in);
        const TestWeights gate = MakeWeights(random, source, out, in);
        const TestWeights up = MakeWeights(random, source, out, in);
        const TestWeights* const parts[] = {&gate, &up};
        const auto paired = Pack(PackShape::GateUp(format, out, in), parts);
        const cuda::TileLayout pairs{format, 2, out, in};
        RequirePart(Unpacked(paired.data(), pairs, 0), pairs, ValuesIn(gate, format));
        RequirePart(Unpacked(paired.data(), pairs, 1), pairs, ValuesIn(up, format));

        const auto stacked = Pack(PackShape::Stack(format, 2 * out, in), parts);
        const cuda::TileLayout stack{format, 1, 2 * out, in};
        std::vector<double> values = ValuesIn(gate, format);
        for (const double value : ValuesIn(up, format)) values.push_back(value);
        RequirePart(Unpacked(stacked.data(), stack, 0), stack, values);
      }
    }
  }
}

TEST_CASE("all bytes packed for CUDA are written") {
  Random random(2);
  for (const WeightFormat format : kFormats) {
    for (const auto& [out, in] : kShapes) {
      INFO(WeightFormatName(format) << " " << out << " x " << in);
      const TestWeights gate = MakeWeights(random, DType::kF32, out, in);
      const TestWeights up = MakeWeights(random, DType::kBF16, out, in);
      const TestWeights* const parts[] = {&gate, &up};
      for (const PackShape& shape :
           {PackShape::GateUp(format, out, in), PackShape::Stack(format, 2 * out, in)}) {
        CHECK(Pack(shape, parts, std::byte{0x00}) == Pack(shape, parts, std::byte{0xff}));
      }
    }
  }
}

TEST_CASE("large matrices are read for CUDA a few rows at a time, and an error of a part's is passed on") {
  Random random(3);
  const TestWeights gate = MakeWeights(random, DType::kBF16, 100, 2050);
  const TestWeights up = MakeWeights(random, DType::kBF16, 100, 2050);
  const TestWeights* const parts[] = {&gate, &up};
  const int64_t rows[] = {100, 100};
  for (const PackShape& shape : {PackShape::GateUp(WeightFormat::kBF16, 100, 2050),
                                 PackShape::Stack(WeightFormat::kInt4Offset, 200, 2050)}) {
    auto packed = Pack(shape, parts);
    const auto fail = [&](size_t part, int64_t begin, int64_t end) -> absl::StatusOr<TensorView> {
      if (begin > 0) return absl::DataLossError("cut");
      return parts[part]->View().Rows(begin, end);
    };
    CHECK(cuda::PackWeights(shape, {rows, fail}, packed.data()).message() == "cut");
  }
}

TEST_CASE("a block with a NaN that is packed for CUDA has the scale NaN, its neighbours their own") {
  Random random(4);
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
    TestWeights weights = MakeWeights(random, DType::kF32, 20, 70);
    const float nan = std::nanf("");
    std::memcpy(&weights.bytes[(18 * 70 + 40) * sizeof(float)], &nan, sizeof(nan));
    const TestWeights* const parts[] = {&weights};
    const auto packed = Pack(PackShape::Stack(format, 20, 70), parts);
    const cuda::TileLayout layout{format, 1, 20, 70};
    const auto values = Unpacked(packed.data(), layout, 0);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t o = i / 128, k = i % 128;
      REQUIRE(std::isnan(values[i]) == (o == 18 && k / 32 == 1));
    }
  }
}

TEST_CASE("B of a low-rank change stands for CUDA rank by rank, without gaps") {
  Random random(5);
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBF16}) {
    for (const DType source : {DType::kF32, DType::kBF16, DType::kF16}) {
      for (const auto& [out, rank] : kShapes) {
        const TestWeights b = MakeWeights(random, source, out, rank);
        const TestWeights* const parts[] = {&b};
        const auto packed = Pack(PackShape::LowRankB(format, 23, out, rank), parts);
        const DType dtype = DTypeOf(format);
        REQUIRE(packed.size() == static_cast<size_t>(out * rank) * DTypeSize(dtype));
        for (int64_t o = 0; o < out; ++o) {
          for (int64_t r = 0; r < rank; ++r) {
            const float value = LoadElement(packed.data(), dtype, cuda::PlaceInB(out, o, r));
            REQUIRE(static_cast<double>(value) ==
                    Rounded(b.values[static_cast<size_t>(o * rank + r)], format));
          }
        }
      }
    }
  }
}
