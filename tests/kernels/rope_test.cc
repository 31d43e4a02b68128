#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "tests/kernels/kernel_test.h"

namespace guildhall {
namespace {

struct Case {
  int64_t rows, heads, rotary, head_dim;
  bool interleaved;
};

// The rotation of every pair in double precision; what is not rotated stays.
std::vector<double> Reference(const Case& c, const std::vector<float>& x, const std::vector<float>& cos,
                              const std::vector<float>& sin) {
  std::vector<double> y(x.begin(), x.end());
  const int64_t half = c.rotary / 2;
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t head = 0; head < c.heads; ++head) {
      const int64_t base = (row * c.heads + head) * c.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const auto a = static_cast<size_t>(base + (c.interleaved ? 2 * i : i));
        const auto b = static_cast<size_t>(base + (c.interleaved ? 2 * i + 1 : i + half));
        const double cosine = cos[static_cast<size_t>(row * half + i)],
                     sine = sin[static_cast<size_t>(row * half + i)];
        y[a] = x[a] * cosine - x[b] * sine;
        y[b] = x[b] * cosine + x[a] * sine;
      }
    }
  }
  return y;
}

std::vector<int32_t> Positions(const Case& c) {
  std::vector<int32_t> positions(static_cast<size_t>(c.rows));
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

// Row r at position r.
RopeArgs Args(const Case& c, float* x, const float* cos, const float* sin, const int32_t* position) {
  RopeArgs args{};
  args.x = x;
  args.rows = c.rows;
  args.heads = c.heads;
  args.rotary = c.rotary;
  args.x_stride = c.heads * c.head_dim;
  args.head_stride = c.head_dim;
  args.position = position;
  args.cos = cos;
  args.sin = sin;
  args.interleaved = c.interleaved;
  return args;
}

// What an op in place makes of x.
std::vector<float> Rotate(Backend& backend, const Case& c, const std::vector<float>& x,
                          const std::vector<float>& cos, const std::vector<float>& sin) {
  const auto y = OnDevice(backend, x), cosines = OnDevice(backend, cos), sines = OnDevice(backend, sin);
  const auto position = OnDevice(backend, Positions(c));
  backend.Rope(Args(c, y.data(), cosines.data(), sines.data(), position.data()));
  return y.Read();
}

}  // namespace

TEST_CASE("rope rotates halves and neighbouring pairs of any width, whole heads and parts of them") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    for (int64_t rotary = 2; rotary <= 130; rotary += 2) {
      for (bool interleaved : {false, true}) {
        Random random(static_cast<uint64_t>(rotary));
        const Case c{3, rotary % 3 + 1, rotary, rotary + rotary % 5, interleaved};
        const auto x = random.Floats(c.rows * c.heads * c.head_dim);
        const auto cos = random.Floats(c.rows * rotary / 2), sin = random.Floats(c.rows * rotary / 2);
        const auto y = Rotate(*backend, c, x, cos, sin);
        INFO(on.name << ", rotary " << rotary << ", interleaved " << interleaved);
        RequireClose(y, Reference(c, x, cos, sin), 1e-6, 1e-6);
      }
    }
  }
}

TEST_CASE("rope by hand: a quarter turn of two pairs") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    const std::vector<float> cos{0, 0}, sin{1, 1};
    const std::vector<float> x{1, 2, 3, 4, 9};
    REQUIRE(Rotate(*backend, {1, 1, 4, 5, false}, x, cos, sin) == std::vector<float>{-3, -4, 1, 2, 9});
    REQUIRE(Rotate(*backend, {1, 1, 4, 5, true}, x, cos, sin) == std::vector<float>{-2, 1, -4, 3, 9});
  }
}

TEST_CASE("rope to another place leaves its input and gives the bits of rope in place") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on, 3);
    for (bool interleaved : {false, true}) {
      Random random(3);
      const Case c{300, 16, 64, 96, interleaved};
      const auto x = random.Floats(c.rows * c.heads * c.head_dim);
      const auto cos = random.Floats(c.rows * c.rotary / 2), sin = random.Floats(c.rows * c.rotary / 2);
      const auto in_place = Rotate(*backend, c, x, cos, sin);
      const auto input = OnDevice(*backend, x), cosines = OnDevice(*backend, cos),
                 sines = OnDevice(*backend, sin);
      const auto position = OnDevice(*backend, Positions(c));
      RopeArgs args = Args(c, input.data(), cosines.data(), sines.data(), position.data());
      const int64_t stride = 70;
      const auto place = FilledOnDevice(*backend, c.rows * c.heads * stride, 7.0f);
      args.y = place.data();
      args.y_stride = c.heads * stride;
      args.y_head_stride = stride;
      backend->Rope(args);
      const auto y = place.Read();
      REQUIRE(input.Read() == x);
      for (int64_t i = 0; i < c.rows * c.heads; ++i) {
        REQUIRE(std::memcmp(y.data() + i * stride, in_place.data() + i * c.head_dim, 64 * 4) == 0);
        REQUIRE(y[static_cast<size_t>(i * stride + 64)] == 7.0f);
      }
    }
  }
}

}  // namespace guildhall
