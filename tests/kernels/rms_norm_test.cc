#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "tests/kernels/kernel_test.h"

namespace guildhall {
namespace {

std::vector<double> Reference(const RmsNormArgs& args) {
  std::vector<double> y;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t group = 0; group < args.groups; ++group) {
      const float* x = args.x + row * args.x_stride + group * args.width;
      double sum = 0;
      for (int64_t i = 0; i < args.width; ++i) sum += static_cast<double>(x[i]) * x[i];
      const double factor = 1 / std::sqrt(sum / static_cast<double>(args.width) + args.eps);
      for (int64_t i = 0; i < args.width; ++i) {
        double value = x[i] * factor * args.weight[i];
        if (args.clip > 0) value = std::min<double>(args.clip, std::max<double>(-args.clip, value));
        y.push_back(value);
      }
    }
  }
  return y;
}

RmsNormArgs Dense(const float* x, const float* weight, float* y, int64_t rows, int64_t groups,
                  int64_t width) {
  RmsNormArgs args{};
  args.x = x;
  args.weight = weight;
  args.y = y;
  args.rows = rows;
  args.groups = groups;
  args.width = width;
  args.x_stride = args.y_stride = groups * width;
  args.eps = 1e-5f;
  return args;
}

}  // namespace

TEST_CASE("rms_norm agrees with double precision at every level and width") {
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    for (int64_t width = 1; width <= 150; ++width) {
      Random random(static_cast<uint64_t>(width));
      const int64_t rows = 3, groups = width % 3 + 1;
      const auto x = random.Floats(rows * groups * width);
      const auto weight = random.Floats(width);
      std::vector<float> y(x.size());
      RmsNormArgs args = Dense(x.data(), weight.data(), y.data(), rows, groups, width);
      if (width % 2 == 1) args.clip = 0.5f;
      INFO(isa << ", width " << width);
      backend->RmsNorm(args);
      RequireClose(y, Reference(args), 1e-5, 1e-6);
    }
  }
}

TEST_CASE("rms_norm of a wide row, in place and at a stride") {
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    Random random(1);
    const int64_t rows = 40, width = 2049, stride = 2100;
    const auto x = random.Floats(rows * stride);
    const auto weight = random.Floats(width);
    auto y = x;
    RmsNormArgs args = Dense(x.data(), weight.data(), y.data(), rows, 1, width);
    args.x_stride = args.y_stride = stride;
    const auto expected = Reference(args);
    args.x = y.data();
    backend->RmsNorm(args);
    for (int64_t row = 0; row < rows; ++row) {
      RequireClose({y.data() + row * stride, static_cast<size_t>(width)},
                   {expected.data() + row * width, static_cast<size_t>(width)}, 1e-5, 1e-6);
      // Nothing is written between the rows.
      REQUIRE(std::memcmp(y.data() + row * stride + width, x.data() + row * stride + width,
                          static_cast<size_t>(stride - width) * 4) == 0);
    }
  }
}

TEST_CASE("a row of rms_norm has the same bits alone, in any batch, at any alignment, on 1 to 3 threads") {
  for (const std::string& isa : TestIsas()) {
    Random random(2);
    const int64_t rows = 64, width = 1037;
    const auto x = random.Floats(rows * width);
    const auto weight = random.Floats(width);
    std::vector<float> together(x.size());
    MakeTestBackend(isa, 1)->RmsNorm(Dense(x.data(), weight.data(), together.data(), rows, 1, width));
    for (int threads = 1; threads <= 3; ++threads) {
      const auto backend = MakeTestBackend(isa, threads);
      std::vector<float> again(x.size());
      backend->RmsNorm(Dense(x.data(), weight.data(), again.data(), rows, 1, width));
      REQUIRE(SameBits(again, together));
      for (int64_t row = 0; row < rows; row += 7) {
        const int64_t shift = row % 5;
        std::vector<float> alone(static_cast<size_t>(width + shift)), out(static_cast<size_t>(width + 3));
        std::memcpy(alone.data() + shift, x.data() + row * width, static_cast<size_t>(width) * 4);
        backend->RmsNorm(Dense(alone.data() + shift, weight.data(), out.data() + row % 3, 1, 1, width));
        REQUIRE(std::memcmp(out.data() + row % 3, together.data() + row * width,
                            static_cast<size_t>(width) * 4) == 0);
      }
    }
  }
}

TEST_CASE("rms_norm clamps by its clip and lets a NaN through") {
  for (const std::string& isa : TestIsas()) {
    const auto backend = MakeTestBackend(isa);
    std::vector<float> x(37, 1.0f), weight(37, 1.0f), y(37);
    weight[3] = 100.0f;
    weight[4] = -100.0f;
    weight[36] = std::numeric_limits<float>::quiet_NaN();
    weight[5] = std::numeric_limits<float>::quiet_NaN();
    RmsNormArgs args = Dense(x.data(), weight.data(), y.data(), 1, 1, 37);
    args.clip = 8.0f;
    backend->RmsNorm(args);
    REQUIRE(y[3] == 8.0f);
    REQUIRE(y[4] == -8.0f);
    REQUIRE(std::isnan(y[5]));
    REQUIRE(std::isnan(y[36]));
    REQUIRE(y[0] == Approx(1.0).epsilon(1e-4));
  }
}

}  // namespace guildhall
