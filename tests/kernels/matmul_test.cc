#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

constexpr float kUntouched = 12345.0f;
constexpr int64_t kMaxRows = 100;
const std::vector<int64_t> kRowCounts = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 17, 33, 97, 100};
const std::vector<WeightFormat> kPlainFormats = {WeightFormat::kF32, WeightFormat::kBF16, WeightFormat::kF16};

struct Shape {
  int64_t out, in;
};
// Ends of panels, groups, units and pieces of k, and their neighbours.
const std::vector<Shape> kShapes = {{1, 1},     {3, 2},     {15, 3},   {16, 15},  {17, 16},  {31, 17},
                                    {32, 31},   {33, 33},   {48, 64},  {63, 100}, {64, 127}, {65, 128},
                                    {100, 129}, {129, 257}, {70, 515}, {200, 48}, {64, 1031}};

struct Epilogue {
  bool bias;
  float clip;
  bool sigmoid;
  bool accumulate;
};
const std::vector<Epilogue> kEpilogues = {{false, 0, false, false},    {true, 0, false, false},
                                          {false, 0.5f, false, false}, {false, 0, true, false},
                                          {false, 0, false, true},     {true, 1.5f, true, true}};

Expected Finish(Expected sum, const Epilogue& epilogue, float bias, float before) {
  if (epilogue.bias) sum.value += static_cast<double>(bias);
  const auto limit = static_cast<double>(epilogue.clip);
  if (epilogue.clip > 0) sum.value = std::min(std::max(sum.value, -limit), limit);
  if (epilogue.sigmoid) {
    sum.value = 1 / (1 + std::exp(-sum.value));
    sum.tolerance += 4e-7;
  }
  if (epilogue.accumulate) sum.value += static_cast<double>(before);
  sum.tolerance += 3e-7 * (std::abs(sum.value) + std::abs(static_cast<double>(bias)) +
                           std::abs(static_cast<double>(before)));
  return sum;
}

// One product of `rows` rows with strides wider than the rows; returns (rows, out), and checks the gaps.
std::vector<float> Run(Backend& backend, const Matrix& w, const std::vector<float>& x, int64_t rows,
                       const Epilogue& epilogue, const std::vector<float>& bias,
                       const std::vector<float>& before) {
  const int64_t x_stride = w.in + 3;
  const int64_t y_stride = w.out + 5;
  std::vector<float> wide_x(static_cast<size_t>(rows * x_stride), std::numeric_limits<float>::quiet_NaN());
  std::vector<float> wide_y(static_cast<size_t>(rows * y_stride), kUntouched);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(x.begin() + r * w.in, w.in, wide_x.begin() + r * x_stride);
    std::copy_n(before.begin() + r * w.out, w.out, wide_y.begin() + r * y_stride);
  }
  const auto x_there = OnDevice(backend, wide_x), bias_there = OnDevice(backend, bias);
  const auto y_there = OnDevice(backend, wide_y);
  backend.MatMul({.x = x_there.data(),
                  .w = w,
                  .bias = epilogue.bias ? bias_there.data() : nullptr,
                  .y = y_there.data(),
                  .rows = rows,
                  .x_stride = x_stride,
                  .y_stride = y_stride,
                  .clip = epilogue.clip,
                  .sigmoid = epilogue.sigmoid,
                  .accumulate = epilogue.accumulate});
  wide_y = y_there.Read();
  std::vector<float> y;
  for (int64_t r = 0; r < rows; ++r) {
    y.insert(y.end(), wide_y.begin() + r * y_stride, wide_y.begin() + r * y_stride + w.out);
    for (int64_t c = w.out; c < y_stride; ++c) {
      REQUIRE(wide_y[static_cast<size_t>(r * y_stride + c)] == kUntouched);
    }
  }
  return y;
}

std::span<const float> RowOf(const std::vector<float>& x, int64_t row, int64_t width) {
  return std::span(x).subspan(static_cast<size_t>(row * width), static_cast<size_t>(width));
}

}  // namespace

TEST_CASE("matmul agrees with float64 for every level, format, shape and epilogue") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(1);
    for (const WeightFormat format : on.weight_formats()) {
      for (const Shape& shape : kShapes) {
        INFO(on.name << " " << WeightFormatName(format) << " out " << shape.out << " in " << shape.in);
        TestWeights weights = MakeWeights(random, SourceOf(format), shape.out, shape.in);
        const PackedWeights packed = PackWeightsAs(*backend, weights, format);
        const auto rows = random.Below(13) + 1;
        const auto x = random.Floats(rows * shape.in);
        const auto bias = random.Floats(shape.out);
        const auto before = random.Floats(rows * shape.out);
        for (const Epilogue& epilogue : kEpilogues) {
          const auto y = Run(*backend, packed.matrix, x, rows, epilogue, bias, before);
          for (int64_t r = 0; r < rows; ++r) {
            const Inputs inputs = RoundedInputs(RowOf(x, r, shape.in), on.RoundingOf(format));
            for (int64_t c = 0; c < shape.out; ++c) {
              const Expected sum = Dot(inputs, weights.values.data() + c * shape.in, shape.in, format);
              const auto i = static_cast<size_t>(r * shape.out + c);
              RequireNear(y[i], Finish(sum, epilogue, bias[static_cast<size_t>(c)], before[i]));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a row's product has the same bits alone, in any batch, on any number of threads", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (const int threads : on.lanes) backends.push_back(MakeTestBackend(on, threads));
    Random random(2);
    for (const WeightFormat format : on.weight_formats()) {
      for (const Shape& shape : kShapes) {
        INFO(on.name << " " << WeightFormatName(format) << " out " << shape.out << " in " << shape.in);
        TestWeights weights = MakeWeights(random, SourceOf(format), shape.out, shape.in);
        std::vector<PackedWeights> packed;
        for (auto& backend : backends) packed.push_back(PackWeightsAs(*backend, weights, format));
        const auto x = random.Floats(kMaxRows * shape.in);
        const std::vector<float> before(static_cast<size_t>(kMaxRows * shape.out), 0.0f);
        std::vector<float> alone;
        for (int64_t r = 0; r < kMaxRows; ++r) {
          const std::vector<float> row(x.begin() + r * shape.in, x.begin() + (r + 1) * shape.in);
          const auto y = Run(*backends[0], packed[0].matrix, row, 1, kEpilogues[0], {}, before);
          alone.insert(alone.end(), y.begin(), y.end());
        }
        for (const int64_t rows : kRowCounts) {
          for (size_t b = 0; b < backends.size(); ++b) {
            const auto y = Run(*backends[b], packed[b].matrix, x, rows, kEpilogues[0], {}, before);
            REQUIRE(SameBits(y, std::span(alone).first(static_cast<size_t>(rows * shape.out))));
          }
        }
      }
    }
  }
}

TEST_CASE("a row of NaN stays alone") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(3);
    for (const WeightFormat format : on.weight_formats()) {
      TestWeights weights = MakeWeights(random, SourceOf(format), 70, 131);
      const PackedWeights packed = PackWeightsAs(*backend, weights, format);
      auto x = random.Floats(9 * 131);
      const std::vector<float> before(9 * 70, 0.0f);
      const auto clean = Run(*backend, packed.matrix, x, 9, kEpilogues[0], {}, before);
      std::fill_n(x.begin() + 4 * 131, 131, std::numeric_limits<float>::quiet_NaN());
      const auto y = Run(*backend, packed.matrix, x, 9, kEpilogues[0], {}, before);
      for (size_t i = 0; i < y.size(); ++i) {
        if (i / 70 == 4) {
          REQUIRE(std::isnan(y[i]));
        } else {
          REQUIRE(y[i] == clean[i]);
        }
      }
    }
  }
}

TEST_CASE("clip and sigmoid let a NaN through and end at their limits") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(4);
    TestWeights one = MakeWeights(random, DType::kF32, 1, 1);
    const float unit = 1.0f;
    std::memcpy(one.bytes.data(), &unit, sizeof(unit));
    const PackedWeights packed = PackWeights(*backend, one);
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> x = {std::nanf(""), infinity, -infinity, 1e30f, -1e30f, -89.0f};
    const std::vector<float> before(x.size(), 0.0f);
    const auto sigmoid = Run(*backend, packed.matrix, x, 6, kEpilogues[3], {}, before);
    CHECK(std::isnan(sigmoid[0]));
    CHECK(sigmoid[1] == 1.0f);
    CHECK(sigmoid[2] < 1e-37f);
    CHECK(sigmoid[3] == 1.0f);
    CHECK(sigmoid[4] < 1e-37f);
    CHECK(sigmoid[5] < 1e-37f);
    const auto clip = Run(*backend, packed.matrix, x, 6, kEpilogues[2], {}, before);
    CHECK(std::isnan(clip[0]));
    CHECK(clip[1] == 0.5f);
    CHECK(clip[2] == -0.5f);
  }
}

TEST_CASE("head_matmul agrees with float64 and keeps a row's bits in every batch", "[long]") {
  constexpr int64_t kHeads = 3;
  const std::vector<Shape> shapes = {{1, 1}, {16, 17}, {33, 64}, {100, 31}, {128, 70}};
  for (const TestBackend& on : OpTestBackends()) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (const int threads : on.lanes) backends.push_back(MakeTestBackend(on, threads));
    Random random(5);
    for (const WeightFormat format : kPlainFormats) {
      for (const Shape& shape : shapes) {
        INFO(on.name << " " << WeightFormatName(format) << " out " << shape.out << " in " << shape.in);
        std::vector<TestWeights> weights;
        for (int64_t h = 0; h < kHeads; ++h) {
          weights.push_back(MakeWeights(random, SourceOf(format), shape.out, shape.in));
        }
        std::vector<PackedHeads> packed;
        for (auto& backend : backends) packed.push_back(PackHeads(*backend, weights));
        const int64_t x_head = shape.in + 2, y_head = shape.out + 1;
        const int64_t x_stride = kHeads * x_head + 7, y_stride = kHeads * y_head + 3;
        const auto x = random.Floats(kMaxRows * x_stride);
        const auto run = [&](size_t b, int64_t first, int64_t rows) {
          Backend& backend = *backends[b];
          const auto x_there = OnDevice(backend, std::span(x).subspan(static_cast<size_t>(first * x_stride),
                                                                      static_cast<size_t>(rows * x_stride)));
          const auto y = FilledOnDevice(backend, rows * y_stride, kUntouched);
          backend.HeadMatMul({.x = x_there.data(),
                              .w = packed[b].matrices,
                              .y = y.data(),
                              .rows = rows,
                              .x_stride = x_stride,
                              .x_head_stride = x_head,
                              .y_stride = y_stride,
                              .y_head_stride = y_head});
          return y.Read();
        };
        std::vector<float> alone;
        for (int64_t r = 0; r < kMaxRows; ++r) {
          const auto y = run(0, r, 1);
          alone.insert(alone.end(), y.begin(), y.end());
        }
        for (const int64_t rows : {2, 7, 49, 100}) {
          for (size_t b = 0; b < backends.size(); ++b) {
            REQUIRE(SameBits(run(b, 0, rows), std::span(alone).first(static_cast<size_t>(rows * y_stride))));
          }
        }
        for (int64_t r = 0; r < 3; ++r) {
          for (int64_t h = 0; h < kHeads; ++h) {
            const auto at = static_cast<size_t>(r * x_stride + h * x_head);
            const Inputs inputs =
                RoundedInputs(std::span(x).subspan(at, static_cast<size_t>(shape.in)), on.RoundingOf(format));
            for (int64_t c = 0; c < shape.out; ++c) {
              RequireNear(alone[static_cast<size_t>(r * y_stride + h * y_head + c)],
                          Dot(inputs, weights[static_cast<size_t>(h)].values.data() + c * shape.in, shape.in,
                              format));
            }
            REQUIRE(alone[static_cast<size_t>(r * y_stride + h * y_head + shape.out)] == kUntouched);
          }
        }
      }
    }
  }
}

TEST_CASE("products with quantized weights have the same bits at every level", "[cpu]") {
  Random random(6);
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4, WeightFormat::kInt4Offset}) {
    for (const Shape& shape : kShapes) {
      INFO(WeightFormatName(format) << " out " << shape.out << " in " << shape.in);
      TestWeights weights = MakeWeights(random, DType::kF32, shape.out, shape.in);
      const auto x = random.Floats(13 * shape.in);
      const std::vector<float> before(static_cast<size_t>(13 * shape.out), 0.0f);
      std::vector<float> first;
      for (const TestBackend& on : CpuTestBackends()) {
        auto backend = MakeTestBackend(on);
        const PackedWeights packed = PackWeightsAs(*backend, weights, format);
        const auto y = Run(*backend, packed.matrix, x, 13, kEpilogues[0], {}, before);
        if (first.empty()) first = y;
        REQUIRE(SameBits(y, first));
      }
    }
  }
}

TEST_CASE("a weight that is no number makes its output NaN, and no other") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(7);
    for (const WeightFormat format : on.weight_formats()) {
      TestWeights weights = MakeWeights(random, DType::kF32, 40, 70);
      const float nan = std::nanf("");
      std::memcpy(weights.bytes.data() + (21 * 70 + 33) * sizeof(float), &nan, sizeof(nan));
      const PackedWeights packed = PackWeightsAs(*backend, weights, format);
      const auto x = random.Floats(7 * 70);
      const auto y = Run(*backend, packed.matrix, x, 7, kEpilogues[0], {}, std::vector<float>(7 * 40, 0.0f));
      for (size_t i = 0; i < y.size(); ++i) REQUIRE(std::isnan(y[i]) == (i % 40 == 21));
    }
  }
}
