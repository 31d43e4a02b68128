// Low-rank changes of products against float64, and the bits of the rows beside them.
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>

#include "tests/kernels/products_reference.h"

using namespace guildhall;

namespace {

constexpr int64_t kRows = 41;

std::vector<double> Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// Inputs that bf16 holds exactly: products that round their inputs do not differ from those that do not.
std::vector<float> ExactInputs(Random& random, int64_t count) {
  std::vector<float> x = random.Floats(count);
  for (float& value : x) value = BF16ToFloat(FloatToBF16(value));
  return x;
}

// One module's A and B, in float64 too.
struct Module {
  TestWeights a, b;
  int64_t out_begin;
  float scale;
};

// A change with its memory.
struct Change {
  std::vector<Module> modules;
  std::vector<float> gain;
  std::deque<PackedWeights> memory;
  LowRank packed;

  void Add(const Backend& backend, DType dtype, int64_t out_begin, int64_t out, int64_t in, int64_t rank,
           float scale, Random& random, int32_t index = 0) {
    modules.push_back({MakeWeights(random, dtype, rank, in), MakeWeights(random, dtype, out, rank),
                       out_begin + index * out, scale});
    const Module& module = modules.back();
    const TensorView b = module.b.View();
    memory.push_back(PackAs(backend, PackShape::LowRankB(FormatOf(dtype), out_begin, out, rank), {&b, 1}));
    const int64_t rank_begin =
        packed.parts.empty() ? 0 : packed.parts.back().rank_begin + packed.parts.back().rank;
    packed.parts.push_back({.module = index,
                            .out_begin = out_begin,
                            .out = out,
                            .rank_begin = rank_begin,
                            .rank = rank,
                            .scale = scale,
                            .dtype = dtype,
                            .b = memory.back().memory.data()});
  }

  const LowRank* Pack(const Backend& backend) {
    std::vector<TensorView> views;
    for (const Module& module : modules) views.push_back(module.a.View());
    if (!views.empty()) {
      memory.push_back(PackWeights(backend, views, modules[0].a.dtype));
      packed.a = memory.back().matrix;
    }
    packed.gain = gain.empty() ? nullptr : gain.data();
    return &packed;
  }

  // y += factor * B A x, where y has `out` columns.
  void AddTo(std::span<const double> x, double factor, std::vector<double>& y) const {
    for (const Module& module : modules) {
      for (int64_t k = 0; k < module.a.out; ++k) {
        double u = 0;
        for (int64_t i = 0; i < module.a.in; ++i)
          u += module.a.values[static_cast<size_t>(k * module.a.in + i)] * x[static_cast<size_t>(i)];
        u *= factor * static_cast<double>(module.scale);
        for (int64_t c = 0; c < module.b.out; ++c) {
          y[static_cast<size_t>(module.out_begin + c)] +=
              u * module.b.values[static_cast<size_t>(c * module.a.out + k)];
        }
      }
    }
  }
};

std::vector<double> Times(const TestWeights& w, std::span<const double> x) {
  std::vector<double> y(static_cast<size_t>(w.out));
  for (int64_t c = 0; c < w.out; ++c) {
    for (int64_t i = 0; i < w.in; ++i)
      y[static_cast<size_t>(c)] += w.values[static_cast<size_t>(c * w.in + i)] * x[static_cast<size_t>(i)];
  }
  return y;
}

// Tasks of the rows: runs of every task, base rows among them.
std::vector<int32_t> RowTasks() {
  std::vector<int32_t> tasks;
  for (int64_t r = 0; r < kRows; ++r)
    tasks.push_back(r < 5 ? -1 : r < 6 ? 0 : r < 20 ? 1 : r < 30 ? 2 : r < 33 ? 3 : 0);
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

constexpr int64_t kStride = 128;

template <typename Terms>
LowRankRows<Terms> Rows(const std::vector<int32_t>& row_task, int64_t first, const std::vector<Terms>& tasks,
                        std::vector<float>& workspace) {
  return {
      .row_task = row_task.data() + first, .tasks = tasks, .workspace = workspace.data(), .stride = kStride};
}

void RequireCloseRow(const float* actual, const std::vector<double>& expected, double rtol) {
  double scale = 0;
  for (const double value : expected) scale = std::max(scale, std::abs(value));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    if (!(difference <= rtol * (scale + 1)))
      FAIL("column " << i << ": " << actual[i] << ", expected " << expected[i]);
  }
}

}  // namespace

TEST_CASE("a product with low-rank changes by row is the product of the merged weights") {
  for (const std::string& isa : TestIsas()) {
    for (const WeightFormat format : kAllFormats) {
      const DType dtype = format == WeightFormat::kF32 ? DType::kF32 : DType::kBF16;  // of the changes
      for (const auto& [out, in] : {std::pair<int64_t, int64_t>{40, 33}, {100, 64}, {7, 20}, {300, 128}}) {
        Random random(static_cast<uint64_t>(out));
        const auto backend = MakeTestBackend(isa);
        TestWeights w = MakeWeights(random, SourceOf(format), out, in);
        const PackedWeights packed = PackWeightsAs(*backend, w, format);
        Change wide, parts, gained;
        wide.Add(*backend, dtype, 0, out, in, 19, 0.5f, random);
        const int64_t cut = out / 3 + 1;
        parts.Add(*backend, DType::kF32, 0, cut, in, 3, 2.0f, random);
        parts.Add(*backend, DType::kF32, cut, out - cut, in, 5, -0.25f, random);
        gained.gain = random.Floats(out);
        gained.Add(*backend, DType::kF32, 0, out, in, 1, 1.0f, random);
        const LowRankTerm a{wide.Pack(*backend), 1.0f}, b{parts.Pack(*backend), 0.75f},
            c{gained.Pack(*backend), 1.0f};
        const std::vector<std::vector<LowRankTerm>> terms{{a}, {a, b}, {}, {c, b}};
        const std::vector<LowRankTerms> tasks(terms.begin(), terms.end());
        const std::vector<int32_t> row_task = RowTasks();
        const std::vector<float> x = ExactInputs(random, kRows * in), bias = random.Floats(out);
        std::vector<float> workspace(kRows * kStride);
        const auto run = [&](int64_t first, int64_t rows, bool changed) {
          std::vector<float> y(static_cast<size_t>(rows * out), 1.0f);
          MatMulArgs args{};
          args.x = x.data() + first * in, args.w = packed.matrix, args.bias = bias.data(), args.y = y.data();
          args.rows = rows, args.x_stride = in, args.y_stride = out, args.clip = 3.0f, args.accumulate = true;
          if (changed) args.low_rank = Rows(row_task, first, tasks, workspace);
          backend->MatMul(args);
          return y;
        };
        const std::vector<float> all = run(0, kRows, true), base = run(0, kRows, false);
        for (int64_t r = 0; r < kRows; ++r) {
          INFO(isa << " " << WeightFormatName(format) << " out " << out << " row " << r);
          const auto width = static_cast<size_t>(out);
          const float* row = all.data() + r * out;
          const std::vector<float> alone = run(r, 1, true);
          REQUIRE(SameBits({row, width}, alone));
          const int32_t task = row_task[static_cast<size_t>(r)];
          if (task < 0 || task == 2) REQUIRE(SameBits({row, width}, {base.data() + r * out, width}));
          const std::vector<double> input = Wide({x.begin() + r * in, x.begin() + (r + 1) * in});
          // The base's product alone rounds its input.
          const auto rounding = IsQuantized(format) ? Rounding::kInt8 : Rounding::kNone;
          std::vector<double> y = Times(w, RoundedInputs(input, rounding, 0, 0).values);
          if (task == 3) {
            for (size_t i = 0; i < width; ++i) y[i] *= static_cast<double>(gained.gain[i]);
            gained.AddTo(input, 1.0, y);
          }
          if (task == 0 || task == 1) wide.AddTo(input, 1.0, y);
          if (task == 1 || task == 3) parts.AddTo(input, 0.75, y);
          for (size_t i = 0; i < width; ++i)
            y[i] = 1.0 + std::clamp(y[i] + static_cast<double>(bias[i]), -3.0, 3.0);
          RequireCloseRow(row, y, 2e-5);
        }
      }
    }
  }
}

TEST_CASE("products of heads take low-rank changes of each head") {
  constexpr int64_t kHeads = 3, kOut = 24, kIn = 17;
  for (const std::string& isa : TestIsas()) {
    Random random(5);
    const auto backend = MakeTestBackend(isa);
    std::deque<PackedWeights> packed;
    std::vector<TestWeights> w;
    std::vector<Matrix> matrices;
    std::deque<Change> changes;
    std::vector<LowRank> heads;
    for (int64_t h = 0; h < kHeads; ++h) {
      w.push_back(MakeWeights(random, DType::kF32, kOut, kIn));
      packed.push_back(PackWeights(*backend, w.back()));
      matrices.push_back(packed.back().matrix);
      changes.emplace_back().Add(*backend, DType::kF32, 0, kOut, kIn, 4 + h, 0.5f, random);
      heads.push_back(*changes.back().Pack(*backend));
    }
    const std::vector<HeadLowRankTerm> terms{{heads.data(), 2.0f}};
    const std::vector<HeadLowRankTerms> tasks{terms};
    std::vector<int32_t> row_task(kRows, 0);
    row_task[0] = -1;
    const std::vector<float> x = ExactInputs(random, kRows * kHeads * kIn);
    std::vector<float> workspace(kRows * kHeads * kStride), y(kRows * kHeads * kOut);
    backend->HeadMatMul({.x = x.data(),
                         .w = matrices,
                         .y = y.data(),
                         .rows = kRows,
                         .x_stride = kHeads * kIn,
                         .x_head_stride = kIn,
                         .y_stride = kHeads * kOut,
                         .y_head_stride = kOut,
                         .low_rank = Rows(row_task, 0, tasks, workspace)});
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t h = 0; h < kHeads; ++h) {
        INFO(isa << " row " << r << " head " << h);
        const auto begin = x.begin() + (r * kHeads + h) * kIn;
        const std::vector<double> input = Wide({begin, begin + kIn});
        std::vector<double> expected = Times(w[static_cast<size_t>(h)], input);
        if (r > 0) changes[static_cast<size_t>(h)].AddTo(input, 2.0, expected);
        RequireCloseRow(y.data() + (r * kHeads + h) * kOut, expected, 1e-5);
      }
    }
  }
}

namespace {

// The last slot is an fp32 expert.
WeightFormat FormatOfSlot(int64_t slot, WeightFormat format) {
  return slot == 4 ? WeightFormat::kF32 : format;
}

bool TwoDigits(const std::string& isa, WeightFormat format) {
  return RoundingOf(isa, format) != Rounding::kNone;
}

}  // namespace

TEST_CASE("experts of mixed formats take low-rank changes by task and logical expert") {
  constexpr int64_t kHidden = 48, kWidth = 40, kExperts = 4, kSlots = 5, kPerRow = 2;
  for (const std::string& isa : TestIsas()) {
    for (const WeightFormat format : kAllFormats) {
      Random random(11);
      const auto backend = MakeTestBackend(isa);
      std::deque<PackedWeights> packed;
      std::vector<TestWeights> gate, up, down;
      std::vector<FfnWeights> table;
      for (int64_t s = 0; s < kSlots; ++s) {
        const WeightFormat own = FormatOfSlot(s, format);
        gate.push_back(MakeWeights(random, SourceOf(own), kWidth, kHidden));
        up.push_back(MakeWeights(random, SourceOf(own), kWidth, kHidden));
        down.push_back(MakeWeights(random, SourceOf(own), kHidden, kWidth));
        FfnWeights weights;
        packed.push_back(PackGateUpWeightsAs(*backend, gate.back(), up.back(), own));
        weights.gate_up = packed.back().matrix;
        packed.push_back(PackWeightsAs(*backend, down.back(), own));
        weights.down = packed.back().matrix;
        table.push_back(weights);
      }
      // Experts 1 and 3 are changed; 3 in gate and down only.
      std::deque<Change> gate_up(kExperts), down_change(kExperts);
      std::vector<FfnLowRank> changes(kExperts);
      for (const size_t e : {size_t{1}, size_t{3}}) {
        gate_up[e].Add(*backend, DType::kF32, 0, kWidth, kHidden, 3, 0.5f, random);
        if (e == 1) gate_up[e].Add(*backend, DType::kF32, 0, kWidth, kHidden, 18, 0.25f, random, 1);
        down_change[e].Add(*backend, DType::kF32, 0, kHidden, kWidth, 6, 1.0f, random);
        changes[e] = {*gate_up[e].Pack(*backend), *down_change[e].Pack(*backend)};
      }
      const std::vector<FfnLowRankTerm> terms{{changes.data(), 0.5f}};
      const std::vector<FfnLowRankTerms> tasks{terms, {}};
      std::vector<int32_t> row_task(kRows, 0), expert, slot;
      for (size_t r = 0; r < kRows; ++r) row_task[r] = r < 7 ? -1 : r < 33 ? 0 : 1;
      for (size_t r = 0; r < kRows; ++r) {
        const auto order = random.Permutation(kExperts);
        for (size_t j = 0; j < kPerRow; ++j) {
          expert.push_back(order[j]);
          slot.push_back(row_task[r] == 0 && order[j] == 3 ? kSlots - 1
                                                           : order[j]);  // task 0 replaces expert 3
        }
      }
      std::vector<int32_t> begin, entry;
      const auto group = [&](size_t first, size_t count) {
        begin.assign(1, 0), entry.clear();
        for (int32_t s = 0; s < kSlots; ++s) {
          for (size_t i = 0; i < count; ++i)
            if (slot[first + i] == s) entry.push_back(static_cast<int32_t>(i));
          begin.push_back(static_cast<int32_t>(entry.size()));
        }
      };
      const std::vector<float> x = ExactInputs(random, kRows * kHidden),
                               weight = random.Floats(kRows * kPerRow);
      std::vector<float> workspace(kRows * kPerRow * kStride);
      const auto run = [&](int64_t first, int64_t rows, bool changed) {
        group(static_cast<size_t>(first * kPerRow), static_cast<size_t>(rows * kPerRow));
        std::vector<float> y(static_cast<size_t>(rows * kHidden));
        ExpertFfnArgs args{};
        args.x = x.data() + first * kHidden, args.table = table, args.group_begin = begin.data();
        args.group_entry = entry.data(), args.weight = weight.data() + first * kPerRow, args.y = y.data();
        args.rows = rows, args.k = kPerRow, args.hidden = kHidden, args.width = kWidth;
        args.x_stride = args.y_stride = kHidden;
        if (changed) args.low_rank = Rows(row_task, first, tasks, workspace);
        args.expert = expert.data() + first * kPerRow;
        backend->ExpertFfn(args);
        return y;
      };
      const std::vector<float> all = run(0, kRows, true), base = run(0, kRows, false);
      for (int64_t r = 0; r < kRows; ++r) {
        INFO(isa << " " << WeightFormatName(format) << " row " << r);
        const auto task = row_task[static_cast<size_t>(r)];
        const float* row = all.data() + r * kHidden;
        REQUIRE(SameBits({row, kHidden}, run(r, 1, true)));
        if (task != 0) REQUIRE(SameBits({row, kHidden}, {base.data() + r * kHidden, kHidden}));
        const std::vector<double> input = Wide({x.begin() + r * kHidden, x.begin() + (r + 1) * kHidden});
        std::vector<double> expected(kHidden);
        for (int64_t j = 0; j < kPerRow; ++j) {
          const auto i = static_cast<size_t>(r * kPerRow + j);
          const auto e = static_cast<size_t>(expert[i]), s = static_cast<size_t>(slot[i]);
          const auto rounding =
              IsQuantized(FormatOfSlot(slot[i], format)) ? Rounding::kInt8 : Rounding::kNone;
          const std::vector<double> rounded = RoundedInputs(input, rounding, 0, 0).values;
          std::vector<double> both = Times(gate[s], rounded);
          const std::vector<double> second = Times(up[s], rounded);
          both.insert(both.end(), second.begin(), second.end());
          if (task == 0) gate_up[e].AddTo(input, 0.5, both);
          std::vector<double> h;
          for (size_t c = 0; c < kWidth; ++c)
            h.push_back(both[c] / (1 + std::exp(-both[c])) * both[kWidth + c]);
          std::vector<double> out = Times(down[s], RoundedInputs(h, rounding, 0, 0).values);
          if (task == 0) down_change[e].AddTo(h, 0.5, out);
          for (size_t c = 0; c < kHidden; ++c) expected[c] += static_cast<double>(weight[i]) * out[c];
        }
        // Where bf16 products round h, or a code of h is at a border, two digits are left.
        RequireCloseRow(row, expected, TwoDigits(isa, format) ? 1e-2 : 2e-5);
      }
    }
  }
}

TEST_CASE("an embedding takes a low-rank change by row") {
  constexpr int64_t kVocabulary = 50, kHidden = 40, kRank = 5;
  for (const std::string& isa : TestIsas()) {
    Random random(3);
    const auto backend = MakeTestBackend(isa);
    const TestWeights table = MakeWeights(random, DType::kF32, kVocabulary, kHidden);
    const TestWeights a = MakeWeights(random, DType::kBF16, kVocabulary, kRank);
    Change change;
    change.Add(*backend, DType::kF32, 0, kHidden, kVocabulary, kRank, 2.0f, random);
    change.Pack(*backend);
    change.packed.a = {.out = kRank, .in = kVocabulary, .format = FormatOf(a.dtype), .data = a.bytes.data()};
    const std::vector<LowRankTerm> terms{{&change.packed, 0.5f}};
    const std::vector<LowRankTerms> tasks{terms};
    const std::vector<int32_t> tokens{3, 49, 3, 0}, row_task{-1, 0, 0, 0};
    std::vector<float> y(4 * kHidden), workspace(4 * kStride);
    backend->Embed({.tokens = tokens.data(),
                    .table = table.bytes.data(),
                    .dtype = DType::kF32,
                    .y = y.data(),
                    .rows = 4,
                    .hidden = kHidden,
                    .low_rank = Rows(row_task, 0, tasks, workspace)});
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < kHidden; ++c) {
        const auto token = tokens[static_cast<size_t>(r)];
        double expected = table.values[static_cast<size_t>(token * kHidden + c)];
        for (int64_t k = 0; k < kRank && r > 0; ++k) {
          expected += a.values[static_cast<size_t>(token * kRank + k)] *
                      change.modules[0].b.values[static_cast<size_t>(c * kRank + k)];
        }
        REQUIRE(static_cast<double>(y[static_cast<size_t>(r * kHidden + c)]) ==
                Approx(expected).margin(1e-5));
      }
    }
  }
}
