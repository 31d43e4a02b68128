// Attention and append_kv against double precision. The bits are in attention_invariance_test.cc.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/attention_case.h"

namespace guildhall {
namespace {

KvShape Shape(int kv_heads, int key_dim, int value_dim, KvFormat format = KvFormat::kF32) {
  return {kv_heads, key_dim, value_dim, false, format};
}

KvShape Latent(int key_dim, int value_dim, KvFormat format = KvFormat::kF32) {
  return {1, key_dim, value_dim, true, format};
}

// Where queries and weights are rounded to bf16, 8 bits are left, 11 of f16; sums are float everywhere.
struct Bound {
  double relative = 2e-5, absolute = 4e-6;
};
Bound BoundOf(const TestBackend& on, KvFormat format) {
  if (on.bf16_attention && format == KvFormat::kF16) return {0.0025, 0.00075};
  if (on.bf16_attention && format != KvFormat::kF32) return {0.02, 0.006};
  return {};
}

// Whole sequences in one call, on every back end.
void CheckCase(const AttentionCase& c) {
  const AttentionData data(c);
  std::vector<RowId> rows;
  std::vector<double> expected;
  for (int64_t s = 0; s < static_cast<int64_t>(c.lengths.size()); ++s) {
    for (const RowId& row : WholeSequence(data, s)) {
      rows.push_back(row);
      const auto y = data.Reference(row);
      expected.insert(expected.end(), y.begin(), y.end());
    }
  }
  for (const TestBackend& on : OpTestBackends()) {
    if (!on.Keeps(c.shape.format)) continue;
    const auto backend = MakeTestBackend(on);
    PagedCache cache(data, *backend, 7);
    INFO(on.name << ", " << c.Text());
    const Bound bound = BoundOf(on, c.shape.format);
    RequireClose(cache.Step(rows), expected, bound.relative, bound.absolute);
  }
}

}  // namespace

TEST_CASE("attention with heads of 1 to 130 elements", "[long]") {
  for (int dim = 1; dim <= 130; dim += dim < 35 ? 1 : 7) {
    for (KvFormat format : kKvFormats) {
      CheckCase({Shape(1 + dim % 2, dim, dim, format), 1 + dim % 3, 0, {33, 1}, static_cast<uint64_t>(dim)});
    }
  }
}

TEST_CASE("attention whose values are wider or narrower than its keys") {
  CheckCase({Shape(2, 24, 16), 2, 0, {40}});
  CheckCase({Shape(2, 192, 128, KvFormat::kBF16), 1, 0, {70}});
  CheckCase({Shape(1, 5, 67), 3, 0, {40}});
  CheckCase({Shape(3, 67, 5, KvFormat::kBF16), 1, 0, {40}});
  CheckCase({Shape(2, 192, 128, KvFormat::kInt8), 1, 0, {70}});
  CheckCase({Shape(1, 5, 67, KvFormat::kInt8), 3, 0, {40}});
  for (KvFormat format : kKvFormats) {
    CheckCase({Shape(1, 400, 24, format), 3, 0, {20}});
    CheckCase({Shape(1, 24, 600, format), 3, 0, {20}});
  }
}

TEST_CASE("attention over lengths around the borders of blocks and spans", "[long]") {
  for (int64_t length : {1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129, 200}) {
    for (KvFormat format : kKvFormats) {
      CheckCase({Shape(1, 32, 32, format), 2, 0, {length}});
      CheckCase({Latent(36, 32, format), 2, 0, {length}});
    }
  }
}

TEST_CASE("attention for every ratio of heads", "[long]") {
  for (int64_t group : {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 31, 33, 40}) {
    for (int kv_heads : {1, 2, 3}) CheckCase({Shape(kv_heads, 16, 16, KvFormat::kBF16), group, 0, {37}});
  }
}

TEST_CASE("attention through windows that cross blocks and spans", "[long]") {
  for (int window : {1, 2, 5, 15, 16, 17, 33, 48, 63, 64, 65, 100, 130}) {
    for (KvFormat format : kKvFormats) {
      CheckCase({Shape(2, 20, 20, format), 2, window, {150}});
      CheckCase({Latent(40, 24, format), 5, window, {150}});
    }
  }
}

TEST_CASE("latent attention: values are the beginning of the keys", "[long]") {
  CheckCase({Latent(576, 512, KvFormat::kBF16), 16, 0, {40, 70}});
  CheckCase({Latent(576, 512, KvFormat::kF32), 3, 0, {20}});
  CheckCase({Latent(576, 512, KvFormat::kInt8), 16, 0, {40, 70}});
  CheckCase({Latent(576, 512, KvFormat::kBF16), 128, 0, {3}});
  for (int dim = 1; dim <= 70; dim += dim < 20 ? 1 : 7) {
    CheckCase({Latent(dim, dim, KvFormat::kF32), 1 + dim % 6, 0, {35}});
    CheckCase({Latent(dim + 8, dim, KvFormat::kBF16), 1 + dim % 5, 0, {35}});
    CheckCase({Latent(dim + 8, dim, KvFormat::kInt8), 1 + dim % 5, 0, {35}});
  }
}

TEST_CASE("attention over mixed sequences of one batch") {
  for (KvFormat format : kKvFormats) {
    CheckCase({Shape(2, 32, 32, format), 2, 0, {1, 90, 17, 16, 2, 40}});
    CheckCase({Latent(48, 40, format), 6, 20, {33, 1, 70, 16}});
  }
}

TEST_CASE("attention over contexts of several parts, and windows across them", "[long]") {
  for (KvFormat format : kKvFormats) {
    for (int window : {0, 100, 600}) {
      CheckCase({Shape(1, 16, 16, format), 2, window, {1100}});
      CheckCase({Latent(20, 16, format), 3, window, {1100}});
    }
  }
}

TEST_CASE("attention weighs large scores without overflow") {
  AttentionCase c{Shape(1, 16, 16), 1, 0, {100}};
  AttentionData data(c);
  for (float& q : data.q[0]) q *= 1000.0f;  // the softmax is nearly a maximum
  std::vector<double> expected;
  for (const RowId& row : WholeSequence(data, 0)) {
    const auto y = data.Reference(row);
    expected.insert(expected.end(), y.begin(), y.end());
  }
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    INFO(on.name);
    // Scores of about 1000 have an absolute error of about 1e-4.
    RequireClose(PagedCache(data, *backend, 1).Step(WholeSequence(data, 0)), expected, 2e-3, 1e-3);
  }
}

TEST_CASE("a value that is seen alone comes back as the cache stores it") {
  // One token: its weight is exactly 1, so y is v, rounded to nearest even for bf16.
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    for (bool latent : {false, true}) {
      for (KvFormat format : on.kv_formats()) {
        const int dim = 77;
        AttentionData data({{1, dim, dim, latent, format}, 1, 0, {1}});
        auto& value = latent ? data.keys[0] : data.values[0];
        value[0] = 1.00390625f;  // between two bf16 numbers, the lower one is even
        value[1] = 1.01171875f;  // the upper one is even
        const bool wide = format == KvFormat::kF32 || format == KvFormat::kBF16;
        value[2] = wide ? -3.3895314e38f : -3.0f;
        value[3] = 1.00048828125f;                           // between two halves, the lower one is even
        value[4] = 1.00146484375f;                           // the upper one is even
        value[5] = -3.1e-6f;                                 // subnormal as a half
        if (format != KvFormat::kInt8) value[6] = 65504.0f;  // the largest half
        value[76] = 1e-39f;                                  // subnormal: dot products of bf16 take it for 0
        data.Remember();
        const auto& stored = latent ? data.stored_keys[0] : data.stored_values[0];
        const auto y = PagedCache(data, *backend, 1).Step({{0, 0}});
        INFO(on.name << ", " << data.c.Text());
        const bool flushed = on.flushes_subnormals && format == KvFormat::kBF16;
        REQUIRE(y[76] == (flushed ? 0.0f : stored[76]));
        for (size_t i = 0; i < 76; ++i) REQUIRE(y[i] == stored[i]);
      }
    }
  }
}

TEST_CASE("int8 keys and values are symmetric codes with the least scale of bf16 that holds them") {
  // By hand: 2 / 127 = 0.0157480 lies between the bf16 numbers 129 / 8192 and 130 / 8192; 2, -1 and 0.02 are
  // 126.03, -63.02 and 1.26 times the upper one.
  for (const TestBackend& on : OpTestBackends()) {
    if (!on.Keeps(KvFormat::kInt8)) continue;
    const auto backend = MakeTestBackend(on);
    AttentionData data({Shape(1, 3, 3, KvFormat::kInt8), 1, 0, {1}});
    data.values[0] = {2.0f, -1.0f, 0.02f};
    const auto y = PagedCache(data, *backend, 1).Step({{0, 0}});
    const float scale = 130.0f / 8192.0f;
    REQUIRE(y == std::vector<float>{126 * scale, -63 * scale, 1 * scale});
  }
}

TEST_CASE("a NaN in a visible key or value shows, one in an invisible token does not") {
  for (const TestBackend& on : OpTestBackends()) {
    const auto backend = MakeTestBackend(on);
    for (bool in_key : {false, true}) {
      for (KvFormat format : on.kv_formats()) {
        AttentionData data({Shape(1, 8, 8, format), 1, 4, {40}});
        (in_key ? data.keys : data.values)[0][20 * 8 + 3] = std::numeric_limits<float>::quiet_NaN();
        const auto y = PagedCache(data, *backend, 1).Step(WholeSequence(data, 0));
        for (size_t row = 0; row < 40; ++row) {
          const bool sees = row >= 20 && row < 24;
          INFO(on.name << ", " << data.c.Text() << ", row " << row);
          REQUIRE(std::isnan(y[row * 8 + 3]) == sees);
        }
      }
    }
  }
}

}  // namespace guildhall
