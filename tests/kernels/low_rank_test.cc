// Low-rank changes of products against float64, and the bits of the rows beside them.
#include <catch2/catch.hpp>
#include <cmath>
#include <deque>

#include "tests/kernels/low_rank_change.h"
#include "tests/kernels/test_sets.h"

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

std::vector<double> Times(const TestWeights& w, std::span<const double> x) {
  std::vector<double> y(static_cast<size_t>(w.out));
  for (int64_t c = 0; c < w.out; ++c) {
    for (int64_t i = 0; i < w.in; ++i)
      y[static_cast<size_t>(c)] += w.values[static_cast<size_t>(c * w.in + i)] * x[static_cast<size_t>(i)];
  }
  return y;
}

// Sets of the rows: runs of every set, base rows among them.
std::vector<int32_t> RowSetsOf() {
  std::vector<int32_t> tasks;
  for (int64_t r = 0; r < kRows; ++r)
    tasks.push_back(r < 5 ? -1 : r < 6 ? 0 : r < 20 ? 1 : r < 30 ? 2 : r < 33 ? 3 : 0);
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

constexpr int64_t kStride = 128;

// The rows [first, first + rows) with the changes of one product.
LowRankRows Rows(TestSets& sets, const std::vector<int32_t>& row_set, int64_t first, int64_t rows,
                 const DeviceArray<float>& workspace, int32_t product = 0) {
  return {
      .rows = sets.Begin(std::span(row_set).subspan(static_cast<size_t>(first), static_cast<size_t>(rows))),
      .product = product,
      .workspace = workspace.data(),
      .stride = kStride};
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
  for (const TestBackend& on : OpTestBackends()) {
    for (const WeightFormat format : on.weight_formats()) {
      const DType dtype = format == WeightFormat::kF32 ? DType::kF32 : DType::kBF16;  // of the changes
      for (const auto& [out, in] : {std::pair<int64_t, int64_t>{40, 33}, {100, 64}, {7, 20}, {300, 128}}) {
        Random random(static_cast<uint64_t>(out));
        const auto backend = MakeTestBackend(on);
        TestWeights w = MakeWeights(random, SourceOf(format), out, in);
        const PackedWeights packed = PackWeightsAs(*backend, w, format);
        Change wide, parts, gained, only_gain;
        wide.Add(*backend, dtype, 0, out, in, 70, 0.5f, random);
        const int64_t cut = out / 3 + 1;
        parts.Add(*backend, DType::kF32, 0, cut, in, 3, 2.0f, random);
        parts.Add(*backend, DType::kF32, cut, out - cut, in, 5, -0.25f, random);
        gained.gain = random.Floats(out);
        gained.Add(*backend, DType::kF32, 0, out, in, 1, 1.0f, random);
        only_gain.gain = random.Floats(out);
        const auto changes =
            OnDevice(*backend, std::vector<LowRank>{wide.Pack(*backend), parts.Pack(*backend),
                                                    gained.Pack(*backend), only_gain.Pack(*backend)});
        const LowRankTerm a{changes.data(), 1.0f}, b{changes.data() + 1, 0.75f}, c{changes.data() + 2, 1.0f},
            d{changes.data() + 3, 1.0f};
        TestSets sets(*backend, {{{a}}, {{a, b}}, {{}}, {{c, d, b}}});
        const std::vector<int32_t> row_set = RowSetsOf();
        const std::vector<float> x = ExactInputs(random, kRows * in), bias = random.Floats(out);
        const auto workspace = FilledOnDevice(*backend, kRows * kStride, 0.0f);
        const auto x_there = OnDevice(*backend, x), bias_there = OnDevice(*backend, bias);
        const auto run = [&](int64_t first, int64_t rows, bool changed) {
          const auto y = FilledOnDevice(*backend, rows * out, 1.0f);
          MatMulArgs args{};
          args.x = x_there.data() + first * in, args.w = packed.matrix, args.bias = bias_there.data();
          args.y = y.data();
          args.rows = rows, args.x_stride = in, args.y_stride = out, args.clip = 3.0f, args.accumulate = true;
          if (changed) args.low_rank = Rows(sets, row_set, first, rows, workspace);
          backend->MatMul(args);
          return y.Read();
        };
        const std::vector<float> all = run(0, kRows, true), base = run(0, kRows, false);
        for (int64_t r = 0; r < kRows; ++r) {
          INFO(on.name << " " << WeightFormatName(format) << " out " << out << " row " << r);
          const auto width = static_cast<size_t>(out);
          const float* row = all.data() + r * out;
          const std::vector<float> alone = run(r, 1, true);
          REQUIRE(SameBits({row, width}, alone));
          const int32_t task = row_set[static_cast<size_t>(r)];
          if (task < 0 || task == 2) REQUIRE(SameBits({row, width}, {base.data() + r * out, width}));
          const std::vector<double> input = Wide({x.begin() + r * in, x.begin() + (r + 1) * in});
          // The base's product alone rounds its input.
          std::vector<double> y = Times(w, RoundedInputs(input, on.RoundingOf(format), 0, 0).values);
          if (task == 3) {
            for (size_t i = 0; i < width; ++i) {
              y[i] *= static_cast<double>(gained.gain[i]) + static_cast<double>(only_gain.gain[i]) - 1.0;
            }
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

TEST_CASE("products of heads take low-rank changes of each head, and gains on both sides") {
  constexpr int64_t kHeads = 3, kOut = 24, kIn = 17;
  for (const TestBackend& on : OpTestBackends()) {
    Random random(5);
    const auto backend = MakeTestBackend(on);
    std::vector<TestWeights> w;
    std::deque<Change> changes, gained;
    std::vector<LowRank> heads, gained_heads;
    for (int64_t h = 0; h < kHeads; ++h) {
      w.push_back(MakeWeights(random, DType::kF32, kOut, kIn));
      changes.emplace_back().Add(*backend, DType::kF32, 0, kOut, kIn, 4 + h, 0.5f, random);
      heads.push_back(changes.back().Pack(*backend));
      gained.emplace_back().Add(*backend, DType::kF32, 0, kOut, kIn, 2, 1.0f, random);
      gained.back().gain = random.Floats(kOut), gained.back().in_gain = random.Floats(kIn);
      gained_heads.push_back(gained.back().Pack(*backend));
    }
    const PackedHeads packed = PackHeads(*backend, w);
    const auto heads_there = OnDevice(*backend, heads), gained_there = OnDevice(*backend, gained_heads);
    TestSets sets(*backend, {{{{heads_there.data(), 2.0f}}}, {{{gained_there.data(), 1.0f}}}});
    std::vector<int32_t> row_set(kRows, 0);
    row_set[0] = -1;
    std::fill_n(row_set.begin() + 25, 9, 1);
    const std::vector<float> x = ExactInputs(random, kRows * kHeads * kIn);
    const auto x_there = OnDevice(*backend, x);
    const auto workspace = FilledOnDevice(*backend, kRows * kHeads * kStride, 0.0f),
               place = FilledOnDevice(*backend, kRows * kHeads * kOut, 0.0f);
    backend->HeadMatMul({.x = x_there.data(),
                         .w = packed.matrices,
                         .y = place.data(),
                         .rows = kRows,
                         .x_stride = kHeads * kIn,
                         .x_head_stride = kIn,
                         .y_stride = kHeads * kOut,
                         .y_head_stride = kOut,
                         .low_rank = Rows(sets, row_set, 0, kRows, workspace)});
    const auto y = place.Read();
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t h = 0; h < kHeads; ++h) {
        INFO(on.name << " row " << r << " head " << h);
        const auto begin = x.begin() + (r * kHeads + h) * kIn;
        const std::vector<double> input = Wide({begin, begin + kIn});
        const auto head = static_cast<size_t>(h);
        const int32_t set = row_set[static_cast<size_t>(r)];
        std::vector<double> scaled = input;
        for (size_t i = 0; i < scaled.size() && set == 1; ++i)
          scaled[i] *= static_cast<double>(gained[head].in_gain[i]);
        std::vector<double> expected = Times(w[head], scaled);
        for (size_t c = 0; c < expected.size() && set == 1; ++c)
          expected[c] *= static_cast<double>(gained[head].gain[c]);
        if (set == 0) changes[head].AddTo(input, 2.0, expected);
        if (set == 1) gained[head].AddTo(input, 1.0, expected);
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

bool TwoDigits(const TestBackend& on, WeightFormat format) {
  return on.RoundingOf(format) != Rounding::kNone;
}

}  // namespace

TEST_CASE("experts of mixed formats take low-rank changes by task and logical expert") {
  constexpr int64_t kHidden = 48, kWidth = 40, kExperts = 4, kSlots = 5, kPerRow = 2;
  for (const TestBackend& on : OpTestBackends()) {
    for (const WeightFormat format : on.weight_formats()) {
      Random random(11);
      const auto backend = MakeTestBackend(on);
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
      std::vector<LowRank> gate_up_changes(kExperts), down_changes(kExperts);
      for (const size_t e : {size_t{1}, size_t{3}}) {
        gate_up[e].Add(*backend, DType::kF32, 0, kWidth, kHidden, 3, 0.5f, random);
        if (e == 1) gate_up[e].Add(*backend, DType::kF32, 0, kWidth, kHidden, 18, 0.25f, random, 1);
        down_change[e].Add(*backend, DType::kF32, 0, kHidden, kWidth, 6, 1.0f, random);
        gate_up_changes[e] = gate_up[e].Pack(*backend);
        down_changes[e] = down_change[e].Pack(*backend);
      }
      const auto gate_up_there = OnDevice(*backend, gate_up_changes),
                 down_there = OnDevice(*backend, down_changes);
      TestSets sets(*backend, {{{{gate_up_there.data(), 0.5f}}, {{down_there.data(), 0.5f}}}, {{}, {}}});
      std::vector<int32_t> row_set(kRows, 0), expert, slot;
      for (size_t r = 0; r < kRows; ++r) row_set[r] = r < 7 ? -1 : r < 33 ? 0 : 1;
      for (size_t r = 0; r < kRows; ++r) {
        const auto order = random.Permutation(kExperts);
        for (size_t j = 0; j < kPerRow; ++j) {
          expert.push_back(order[j]);
          slot.push_back(row_set[r] == 0 && order[j] == 3 ? kSlots - 1
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
      const auto workspace = FilledOnDevice(*backend, kRows * kPerRow * kStride, 0.0f);
      const auto x_there = OnDevice(*backend, x), weight_there = OnDevice(*backend, weight);
      const auto table_there = OnDevice(*backend, table);
      const auto slot_there = OnDevice(*backend, slot), expert_there = OnDevice(*backend, expert);
      const auto run = [&](int64_t first, int64_t rows, bool changed) {
        group(static_cast<size_t>(first * kPerRow), static_cast<size_t>(rows * kPerRow));
        const auto begin_there = OnDevice(*backend, begin), entry_there = OnDevice(*backend, entry);
        const auto y = FilledOnDevice(*backend, rows * kHidden, 0.0f);
        ExpertFfnArgs args{};
        args.x = x_there.data() + first * kHidden, args.table = table_there.data(), args.slots = kSlots;
        args.group_begin = begin_there.data(), args.group_entry = entry_there.data();
        args.weight = weight_there.data() + first * kPerRow, args.y = y.data();
        args.rows = rows, args.k = kPerRow, args.hidden = kHidden, args.width = kWidth;
        args.x_stride = args.y_stride = kHidden;
        args.slot = slot_there.data() + first * kPerRow;
        if (changed) {
          args.gate_up_low_rank = Rows(sets, row_set, first, rows, workspace, 0);
          args.down_low_rank = args.gate_up_low_rank;
          args.down_low_rank.product = 1;
        }
        args.expert = expert_there.data() + first * kPerRow;
        backend->ExpertFfn(args);
        return y.Read();
      };
      const std::vector<float> all = run(0, kRows, true), base = run(0, kRows, false);
      for (int64_t r = 0; r < kRows; ++r) {
        INFO(on.name << " " << WeightFormatName(format) << " row " << r);
        const auto task = row_set[static_cast<size_t>(r)];
        const float* row = all.data() + r * kHidden;
        REQUIRE(SameBits({row, kHidden}, run(r, 1, true)));
        if (task != 0) REQUIRE(SameBits({row, kHidden}, {base.data() + r * kHidden, kHidden}));
        const std::vector<double> input = Wide({x.begin() + r * kHidden, x.begin() + (r + 1) * kHidden});
        std::vector<double> expected(kHidden);
        for (int64_t j = 0; j < kPerRow; ++j) {
          const auto i = static_cast<size_t>(r * kPerRow + j);
          const auto e = static_cast<size_t>(expert[i]), s = static_cast<size_t>(slot[i]);
          const auto rounding = on.RoundingOf(FormatOfSlot(slot[i], format));
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
        // Where products round h, and a number of h is at a border, two digits are left.
        RequireCloseRow(row, expected, TwoDigits(on, format) ? 1e-2 : 2e-5);
      }
    }
  }
}

TEST_CASE("an embedding takes a low-rank change by row") {
  constexpr int64_t kVocabulary = 50, kHidden = 40, kRank = 5;
  for (const TestBackend& on : OpTestBackends()) {
    Random random(3);
    const auto backend = MakeTestBackend(on);
    const TestWeights table = MakeWeights(random, DType::kF32, kVocabulary, kHidden);
    const TestWeights a = MakeWeights(random, DType::kBF16, kVocabulary, kRank);
    Change change;
    change.Add(*backend, DType::kF32, 0, kHidden, kVocabulary, kRank, 2.0f, random);
    const auto table_there = OnDevice(*backend, table.bytes), a_there = OnDevice(*backend, a.bytes);
    LowRank packed = change.Pack(*backend);
    packed.a = {.out = kRank, .in = kVocabulary, .format = FormatOf(a.dtype), .data = a_there.data()};
    const auto packed_there = OnDevice(*backend, std::vector<LowRank>{packed});
    TestSets sets(*backend, {{{{packed_there.data(), 0.5f}}}});
    const std::vector<int32_t> tokens{3, 49, 3, 0}, row_set{-1, 0, 0, 0};
    const auto tokens_there = OnDevice(*backend, tokens);
    const auto workspace = FilledOnDevice(*backend, 4 * kStride, 0.0f),
               place = FilledOnDevice(*backend, 4 * kHidden, 0.0f);
    backend->Embed({.tokens = tokens_there.data(),
                    .table = table_there.data(),
                    .dtype = DType::kF32,
                    .y = place.data(),
                    .rows = 4,
                    .hidden = kHidden,
                    .low_rank = Rows(sets, row_set, 0, 4, workspace)});
    const auto y = place.Read();
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
