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

// The op over neighbouring rows.
std::vector<float> Norm(Backend& backend, const std::vector<float>& x, const std::vector<float>& weight,
                        int64_t rows, int64_t groups, float clip) {
  const auto x_there = OnDevice(backend, x), weight_there = OnDevice(backend, weight);
  const auto y = FilledOnDevice(backend, static_cast<int64_t>(x.size()), 0.0f);
  RmsNormArgs args =
      Dense(x_there.data(), weight_there.data(), y.data(), rows, groups, static_cast<int64_t>(weight.size()));
  args.clip = clip;
  backend.RmsNorm(args);
  return y.Read();
}

}  // namespace

TEST_CASE("rms_norm agrees with double precision at every level and width") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    for (int64_t width = 1; width <= 150; ++width) {
      Random random(static_cast<uint64_t>(width));
      const int64_t rows = 3, groups = width % 3 + 1;
      const auto x = random.Floats(rows * groups * width);
      const auto weight = random.Floats(width);
      RmsNormArgs args = Dense(x.data(), weight.data(), nullptr, rows, groups, width);
      if (width % 2 == 1) args.clip = 0.5f;
      INFO(on.name << ", width " << width);
      RequireClose(Norm(*backend, x, weight, rows, groups, args.clip), Reference(args), 1e-5, 1e-6);
    }
  }
}

TEST_CASE("rms_norm of a wide row, in place and at a stride") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    Random random(1);
    const int64_t rows = 40, width = 2049, stride = 2100;
    const auto x = random.Floats(rows * stride);
    const auto weight = random.Floats(width);
    RmsNormArgs args = Dense(x.data(), weight.data(), nullptr, rows, 1, width);
    args.x_stride = args.y_stride = stride;
    const auto expected = Reference(args);
    const auto place = OnDevice(*backend, x), weight_there = OnDevice(*backend, weight);
    args.x = args.y = place.data();
    args.weight = weight_there.data();
    backend->RmsNorm(args);
    const auto y = place.Read();
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
  for (const TestBackend& on : OpTestBackends()) {
    Random random(2);
    const int64_t rows = 64, width = 1037;
    const auto x = random.Floats(rows * width);
    const auto weight = random.Floats(width);
    const auto together = Norm(*MakeTestBackend(on, 1), x, weight, rows, 1, 0.0f);
    for (const int threads : on.lanes) {
      const auto backend = MakeTestBackend(on, threads);
      REQUIRE(SameBits(Norm(*backend, x, weight, rows, 1, 0.0f), together));
      const auto weight_there = OnDevice(*backend, weight);
      for (int64_t row = 0; row < rows; row += 7) {
        const int64_t shift = row % 5;
        std::vector<float> alone(static_cast<size_t>(width + shift));
        std::memcpy(alone.data() + shift, x.data() + row * width, static_cast<size_t>(width) * 4);
        const auto from = OnDevice(*backend, alone), to = FilledOnDevice(*backend, width + 3, 0.0f);
        backend->RmsNorm(Dense(from.data() + shift, weight_there.data(), to.data() + row % 3, 1, 1, width));
        const auto out = to.Read();
        REQUIRE(std::memcmp(out.data() + row % 3, together.data() + row * width,
                            static_cast<size_t>(width) * 4) == 0);
      }
    }
  }
}

TEST_CASE("rms_norm clamps by its clip and lets a NaN through") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    std::vector<float> x(37, 1.0f), weight(37, 1.0f);
    weight[3] = 100.0f;
    weight[4] = -100.0f;
    weight[36] = std::numeric_limits<float>::quiet_NaN();
    weight[5] = std::numeric_limits<float>::quiet_NaN();
    const auto y = Norm(*backend, x, weight, 1, 1, 8.0f);
    REQUIRE(y[3] == 8.0f);
    REQUIRE(y[4] == -8.0f);
    REQUIRE(std::isnan(y[5]));
    REQUIRE(std::isnan(y[36]));
    REQUIRE(y[0] == Approx(1.0).epsilon(1e-4));
  }
}

}  // namespace guildhall
