#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

struct Case {
  int64_t hidden, width, slots, k;
  bool biases;
};
const std::vector<Case> kCases = {{16, 16, 4, 2, false}, {33, 1, 3, 1, true},    {64, 48, 7, 3, false},
                                  {100, 17, 5, 4, true}, {130, 70, 9, 8, false}, {257, 100, 3, 2, true}};
constexpr int64_t kRows = 40;

// The networks of all slots, their packed form for one back end and random rows to send through.
struct Experts {
  Case shape;
  WeightFormat format;
  std::vector<TestWeights> gate, up, down;
  std::vector<std::vector<float>> gate_bias, up_bias, down_bias;
  std::vector<PackedWeights> packed;
  std::vector<DeviceArray<float>> biases;
  std::vector<FfnWeights> table;

  Experts(Backend& backend, const Case& c, WeightFormat own, Random& random) : shape(c), format(own) {
    for (int64_t s = 0; s < c.slots; ++s) {
      gate.push_back(MakeWeights(random, SourceOf(format), c.width, c.hidden));
      up.push_back(MakeWeights(random, SourceOf(format), c.width, c.hidden));
      down.push_back(MakeWeights(random, SourceOf(format), c.hidden, c.width));
      gate_bias.push_back(random.Floats(c.width));
      up_bias.push_back(random.Floats(c.width));
      down_bias.push_back(random.Floats(c.hidden));
      packed.push_back(PackGateUpWeightsAs(backend, gate.back(), up.back(), format));
      packed.push_back(PackWeightsAs(backend, down.back(), format));
    }
    for (size_t s = 0; s < gate.size(); ++s) {
      FfnWeights weights;
      weights.gate_up = packed[2 * s].matrix;
      weights.down = packed[2 * s + 1].matrix;
      if (c.biases) {
        for (const auto* bias : {&gate_bias[s], &up_bias[s], &down_bias[s]}) {
          biases.push_back(OnDevice(backend, *bias));
        }
        weights.gate_bias = biases[3 * s].data();
        weights.up_bias = biases[3 * s + 1].data();
        weights.down_bias = biases[3 * s + 2].data();
      }
      table.push_back(weights);
    }
  }

  double Bias(const std::vector<std::vector<float>>& of, size_t slot, int64_t i) const {
    return shape.biases ? static_cast<double>(of[slot][static_cast<size_t>(i)]) : 0.0;
  }

  // FFN_slot(x) in float64, with the roundings of the inputs that the back end makes.
  std::vector<Expected> Evaluate(size_t slot, std::span<const float> x, Rounding rounding) const {
    const Inputs inputs = RoundedInputs(x, rounding);
    std::vector<double> h;
    double error = 0;
    for (int64_t i = 0; i < shape.width; ++i) {
      const auto row = i * shape.hidden;
      Expected g = Dot(inputs, gate[slot].values.data() + row, shape.hidden, format);
      Expected u = Dot(inputs, up[slot].values.data() + row, shape.hidden, format);
      g.value += Bias(gate_bias, slot, i);
      u.value += Bias(up_bias, slot, i);
      const double silu = g.value / (1 + std::exp(-g.value));
      h.push_back(silu * u.value);
      // |silu'| <= 1.1, and some roundings of the activation itself.
      error = std::max(error, 1.1 * g.tolerance * std::abs(u.value) + u.tolerance * std::abs(silu) +
                                  1e-6 * std::abs(h.back()) + 1e-7);
    }
    std::vector<Expected> out;
    const Inputs rounded = RoundedInputs(h, rounding, 1e-6, error);
    for (int64_t c = 0; c < shape.hidden; ++c) {
      Expected value = Dot(rounded, down[slot].values.data() + c * shape.width, shape.width, format);
      value.value += Bias(down_bias, slot, c);
      value.tolerance += 1e-7 * std::abs(value.value);
      out.push_back(value);
    }
    return out;
  }
};

// Random selections: `k` different slots a row, some slots left out, and the grouping that the router would
// make.
struct Routing {
  std::vector<int32_t> slot;
  std::vector<float> weight;

  Routing(const Case& c, int64_t rows, Random& random) {
    for (int64_t r = 0; r < rows; ++r) {
      const auto order = random.Permutation(c.slots);
      slot.insert(slot.end(), order.begin(), order.begin() + c.k);
    }
    weight = random.Floats(rows * c.k);
  }
};

// The same experts on each of the back ends.
std::vector<Experts> OnEach(const std::vector<std::unique_ptr<Backend>>& backends, const Case& c,
                            WeightFormat format, Random& random) {
  std::vector<Experts> experts;
  const Random start = random;
  for (const auto& backend : backends) {
    random = start;
    experts.emplace_back(*backend, c, format, random);
  }
  return experts;
}

struct Groups {
  std::vector<int32_t> begin, entry;

  Groups(std::span<const int32_t> slot, int64_t slots) {
    for (int32_t s = 0; s < static_cast<int32_t>(slots); ++s) {
      begin.push_back(static_cast<int32_t>(entry.size()));
      for (size_t i = 0; i < slot.size(); ++i) {
        if (slot[i] == s) entry.push_back(static_cast<int32_t>(i));
      }
    }
    begin.push_back(static_cast<int32_t>(entry.size()));
  }
};

// Rows [first, first + rows) in one call; y starts from `before`.
std::vector<float> Run(Backend& backend, const Experts& experts, const Routing& routing,
                       const std::vector<float>& x, const std::vector<float>& before, int64_t first,
                       int64_t rows, bool weighed) {
  const Case& c = experts.shape;
  const int64_t x_stride = c.hidden + 3, y_stride = c.hidden + 1;
  std::vector<float> wide_x(static_cast<size_t>(rows * x_stride), std::nanf(""));
  std::vector<float> wide_y(static_cast<size_t>(rows * y_stride), 7.0f);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(x.begin() + (first + r) * c.hidden, c.hidden, wide_x.begin() + r * x_stride);
    std::copy_n(before.begin() + (first + r) * c.hidden, c.hidden, wide_y.begin() + r * y_stride);
  }
  const auto slots =
      std::span(routing.slot).subspan(static_cast<size_t>(first * c.k), static_cast<size_t>(rows * c.k));
  const Groups groups(slots, c.slots);
  const auto x_there = OnDevice(backend, wide_x), y_there = OnDevice(backend, wide_y);
  const auto table = OnDevice(backend, experts.table);
  const auto slot = OnDevice(backend, slots), begin = OnDevice(backend, groups.begin),
             entry = OnDevice(backend, groups.entry);
  const auto weight = OnDevice(backend, routing.weight);
  backend.ExpertFfn({.x = x_there.data(),
                     .table = table.data(),
                     .slot = slot.data(),
                     .group_begin = begin.data(),
                     .group_entry = entry.data(),
                     .weight = weighed ? weight.data() + first * c.k : nullptr,
                     .y = y_there.data(),
                     .rows = rows,
                     .k = c.k,
                     .slots = c.slots,
                     .hidden = c.hidden,
                     .width = c.width,
                     .x_stride = x_stride,
                     .y_stride = y_stride});
  wide_y = y_there.Read();
  std::vector<float> y;
  for (int64_t r = 0; r < rows; ++r) {
    y.insert(y.end(), wide_y.begin() + r * y_stride, wide_y.begin() + r * y_stride + c.hidden);
    REQUIRE(wide_y[static_cast<size_t>(r * y_stride + c.hidden)] == 7.0f);
  }
  return y;
}

}  // namespace

TEST_CASE("expert_ffn agrees with float64 for every level, format and shape", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(1);
    for (const WeightFormat format : on.weight_formats()) {
      for (const Case& c : kCases) {
        INFO(on.name << " " << WeightFormatName(format) << " hidden " << c.hidden << " width " << c.width
                     << " k " << c.k);
        const Experts experts(*backend, c, format, random);
        const int64_t rows = 1 + random.Below(12);
        const Routing routing(c, rows, random);
        const auto x = random.Floats(rows * c.hidden);
        const auto before = random.Floats(rows * c.hidden);
        for (const bool weighed : {true, false}) {
          const auto y = Run(*backend, experts, routing, x, before, 0, rows, weighed);
          for (int64_t r = 0; r < rows; ++r) {
            std::vector<Expected> sum(static_cast<size_t>(c.hidden));
            for (int64_t j = 0; j < c.k; ++j) {
              const auto entry = static_cast<size_t>(r * c.k + j);
              const double weight = weighed ? static_cast<double>(routing.weight[entry]) : 1.0;
              const auto out = experts.Evaluate(
                  static_cast<size_t>(routing.slot[entry]),
                  std::span(x).subspan(static_cast<size_t>(r * c.hidden), static_cast<size_t>(c.hidden)),
                  on.RoundingOf(format));
              for (size_t i = 0; i < sum.size(); ++i) {
                sum[i].value += weight * out[i].value;
                sum[i].tolerance += std::abs(weight) * (out[i].tolerance + 1e-6 * std::abs(out[i].value));
              }
            }
            for (size_t i = 0; i < sum.size(); ++i) {
              const auto at = static_cast<size_t>(r * c.hidden) + i;
              sum[i].value += static_cast<double>(before[at]);
              sum[i].tolerance += 1e-6;
              RequireNear(y[at], sum[i]);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("a row's experts give the same bits alone, in any batch, on any number of threads", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (const int threads : on.lanes) backends.push_back(MakeTestBackend(on, threads));
    Random random(2);
    for (const WeightFormat format : on.weight_formats()) {
      for (const Case& c : kCases) {
        INFO(on.name << " " << WeightFormatName(format) << " hidden " << c.hidden << " width " << c.width
                     << " k " << c.k);
        const std::vector<Experts> experts = OnEach(backends, c, format, random);
        const Routing routing(c, kRows, random);
        const auto x = random.Floats(kRows * c.hidden);
        const auto before = random.Floats(kRows * c.hidden);
        std::vector<float> alone;
        for (int64_t r = 0; r < kRows; ++r) {
          const auto y = Run(*backends[0], experts[0], routing, x, before, r, 1, true);
          alone.insert(alone.end(), y.begin(), y.end());
        }
        for (const int64_t rows : {2, 3, 7, 13, 40}) {
          for (size_t b = 0; b < backends.size(); ++b) {
            for (const int64_t first : {int64_t{0}, kRows - rows}) {
              const auto y = Run(*backends[b], experts[b], routing, x, before, first, rows, true);
              REQUIRE(SameBits(y, std::span(alone).subspan(static_cast<size_t>(first * c.hidden), y.size())));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("an expert that all rows choose among many gives the bits of each row alone") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(6);
    for (const WeightFormat format : on.weight_formats()) {
      INFO(on.name << " " << WeightFormatName(format));
      const Case c{70, 33, 40, 1, true};
      const Experts experts(*backend, c, format, random);
      Routing routing(c, kRows, random);
      std::fill(routing.slot.begin(), routing.slot.end(), 7);
      const auto x = random.Floats(kRows * c.hidden);
      const auto before = random.Floats(kRows * c.hidden);
      const auto together = Run(*backend, experts, routing, x, before, 0, kRows, true);
      for (int64_t r = 0; r < kRows; ++r) {
        const auto alone = Run(*backend, experts, routing, x, before, r, 1, true);
        REQUIRE(
            SameBits(alone, std::span(together).subspan(static_cast<size_t>(r * c.hidden), alone.size())));
      }
    }
  }
}

TEST_CASE("an entry without a slot weighs nothing, whatever its weight is") {
  for (const TestBackend& on : OpTestBackends()) {
    auto backend = MakeTestBackend(on);
    Random random(7);
    const Case c{33, 20, 5, 3, false};
    const Experts experts(*backend, c, WeightFormat::kF32, random);
    Routing some(c, kRows, random);
    Routing all = some;
    for (size_t i = 0; i < some.slot.size(); ++i) {
      const bool first_row = i < static_cast<size_t>(c.k);
      if (!first_row && random.Below(3) != 0) continue;
      some.slot[i] = -1;
      all.weight[i] = 0.0f;
    }
    const auto x = random.Floats(kRows * c.hidden);
    const auto before = random.Floats(kRows * c.hidden);
    // In this order: what the first leaves in scratch memory is no zero.
    const auto expected = Run(*backend, experts, all, x, before, 0, kRows, true);
    const auto y = Run(*backend, experts, some, x, before, 0, kRows, true);
    INFO(on.name);
    REQUIRE(SameBits(y, expected));
    REQUIRE(std::equal(before.begin(), before.begin() + c.hidden, y.begin()));
  }
}

TEST_CASE("experts of different formats may share a table") {
  for (const TestBackend& on : OpTestBackends()) {
    const std::vector<WeightFormat> formats = on.weight_formats();
    const auto slots = static_cast<int64_t>(formats.size());
    const Case c{48, 40, slots, slots, false};
    auto backend = MakeTestBackend(on);
    std::vector<Experts> experts;
    for (const WeightFormat format : on.weight_formats()) {
      Random random(3);
      experts.emplace_back(*backend, c, format, random);
    }
    Random random(4);
    const Routing routing(c, 9, random);
    const auto x = random.Floats(9 * c.hidden);
    const std::vector<float> zero(x.size(), 0.0f);
    // Slot s from the table of format s: the sum of runs of one format each with the other slots' weights at
    // zero.
    Random again(3);
    Experts mixed(*backend, c, WeightFormat::kF32, again);
    std::vector<float> expected(x.size(), 0.0f);
    for (size_t s = 0; s < formats.size(); ++s) {
      mixed.table[s] = experts[s].table[s];
      Routing only = routing;
      for (size_t i = 0; i < only.weight.size(); ++i)
        only.weight[i] = only.slot[i] == static_cast<int32_t>(s) ? 1.0f : 0.0f;
      const auto y = Run(*backend, experts[s], only, x, zero, 0, 9, true);
      for (size_t i = 0; i < y.size(); ++i) expected[i] += y[i];
    }
    const auto y = Run(*backend, mixed, routing, x, zero, 0, 9, false);
    for (size_t i = 0; i < y.size(); ++i) {
      REQUIRE(std::abs(y[i] - expected[i]) <= 1e-5f * (1.0f + std::abs(expected[i])));
    }
  }
}

TEST_CASE("ffn is one expert for all rows, weighed by row", "[long]") {
  for (const TestBackend& on : OpTestBackends()) {
    std::vector<std::unique_ptr<Backend>> backends;
    for (const int threads : on.lanes) backends.push_back(MakeTestBackend(on, threads));
    Random random(5);
    for (const WeightFormat format : on.weight_formats()) {
      for (const Case& c : kCases) {
        INFO(on.name << " " << WeightFormatName(format) << " hidden " << c.hidden << " width " << c.width);
        const std::vector<Experts> experts = OnEach(backends, c, format, random);
        const auto x = random.Floats(100 * c.hidden);
        const auto before = random.Floats(100 * c.hidden);
        const auto weight = random.Floats(100);
        const auto run = [&](size_t b, int64_t first, int64_t rows, bool weighed) {
          Backend& backend = *backends[b];
          const auto begin = static_cast<size_t>(first * c.hidden),
                     count = static_cast<size_t>(rows * c.hidden);
          const auto x_there = OnDevice(backend, std::span(x).subspan(begin, count));
          const auto weights = OnDevice(backend, weight);
          const auto y = OnDevice(backend, std::span(before).subspan(begin, count));
          backend.Ffn({.x = x_there.data(),
                       .w = experts[b].table[0],
                       .weight = weighed ? weights.data() + first : nullptr,
                       .y = y.data(),
                       .rows = rows,
                       .hidden = c.hidden,
                       .width = c.width,
                       .x_stride = c.hidden,
                       .y_stride = c.hidden});
          return y.Read();
        };
        std::vector<float> alone;
        for (int64_t r = 0; r < 100; ++r) {
          const auto y = run(0, r, 1, true);
          alone.insert(alone.end(), y.begin(), y.end());
        }
        for (const int64_t rows : {2, 6, 7, 53, 100}) {
          for (size_t b = 0; b < backends.size(); ++b) {
            REQUIRE(SameBits(run(b, 0, rows, true),
                             std::span(alone).first(static_cast<size_t>(rows * c.hidden))));
          }
        }
        const auto unweighed = run(0, 0, 5, false);
        for (size_t r = 0; r < 5; ++r) {
          const auto at = r * static_cast<size_t>(c.hidden);
          const auto out = experts[0].Evaluate(0, std::span(x).subspan(at, static_cast<size_t>(c.hidden)),
                                               on.RoundingOf(format));
          for (size_t i = 0; i < out.size(); ++i) {
            const double start = static_cast<double>(before[at + i]);
            RequireNear(unweighed[at + i], {start + out[i].value, out[i].tolerance + 1e-6});
            const auto w = static_cast<double>(weight[r]);
            RequireNear(alone[at + i], {start + w * out[i].value, std::abs(w) * out[i].tolerance + 1e-6});
          }
        }
      }
    }
  }
}
