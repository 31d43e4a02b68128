#include "tests/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "tests/kernels/gate_reference.h"
#include "tests/reference/reference_rows.h"

namespace guildhall::reference {
namespace {

// Rows [begin, begin + out) of a packed matrix times x.
Row Times(const Memory& memory, const Matrix& w, const Row& x, int64_t begin, int64_t out) {
  GH_CHECK_EQ(static_cast<int64_t>(x.size()), w.in);
  const float* values = memory.At(reinterpret_cast<const float*>(w.data), w.out * w.in) + begin * w.in;
  Row y(static_cast<size_t>(out));
  for (double& sum : y) {
    for (const double factor : x) sum += factor * static_cast<double>(*values++);
  }
  return y;
}

Row Times(const Memory& memory, const Matrix& w, const Row& x) {
  return Times(memory, w, x, 0, w.out);
}

std::span<const LowRankTerm> Terms(const Memory& memory, const LowRankRows& rows, int64_t row) {
  if (rows.none()) return {};
  const int32_t set = Only(memory, rows.rows.set + row);
  if (set < 0) return {};
  const SetTable& table = Only(memory, rows.rows.tables + set);
  const LowRankTerms& terms = Only(memory, table.products + rows.product);
  return {memory.At(terms.terms, terms.count), static_cast<size_t>(terms.count)};
}

// 1 + sum (g - 1) over the terms that have gains; empty: none has.
Row Gains(const Memory& memory, std::span<const LowRankTerm> terms, int64_t index,
          const float* LowRank::*gain, int64_t begin, int64_t count) {
  Row factors;
  for (const LowRankTerm& term : terms) {
    const float* own = Only(memory, term.change + index).*gain;
    if (own == nullptr) continue;
    factors.resize(static_cast<size_t>(count), 1.0);
    const Row values = Load(memory, own + begin, count);
    for (size_t i = 0; i < factors.size(); ++i) factors[i] += values[i] - 1.0;
  }
  return factors;
}

void Multiply(const Row& factors, Row& values) {
  for (size_t i = 0; i < factors.size(); ++i) values[i] *= factors[i];
}

// y += the sum of scale B u for the parts of a module; u of a term by `shrink`.
template <typename Shrink>
void AddTerms(const Memory& memory, std::span<const LowRankTerm> terms, int64_t index, int32_t module,
              Shrink shrink, Row& y) {
  for (const LowRankTerm& term : terms) {
    const LowRank& change = Only(memory, term.change + index);
    if (change.a.empty()) continue;
    const Row u = shrink(change);
    for (int64_t p = 0; p < change.part_count; ++p) {
      const LowRankPart& part = Only(memory, change.parts + p);
      if (part.module != module) continue;
      const Matrix b{part.out, part.rank, WeightFormat::kF32, part.b};
      const auto begin = u.begin() + part.rank_begin;
      const Row added = Times(memory, b, Row(begin, begin + part.rank));
      const double scale = static_cast<double>(part.scale) * static_cast<double>(term.scale);
      for (size_t i = 0; i < added.size(); ++i)
        y[static_cast<size_t>(part.out_begin) + i] += scale * added[i];
    }
  }
}

// One product with its changes: `module` of a stack of two, or all of it.
Row Product(const Memory& memory, const Matrix& w, const Row& x, std::span<const LowRankTerm> terms,
            int64_t index, int32_t module, int64_t begin, int64_t out) {
  Row scaled = x;
  Multiply(Gains(memory, terms, index, &LowRank::in_gain, 0, w.in), scaled);
  Row y = Times(memory, w, scaled, begin, out);
  Multiply(Gains(memory, terms, index, &LowRank::gain, begin, out), y);
  AddTerms(
      memory, terms, index, module, [&](const LowRank& change) { return Times(memory, change.a, x); }, y);
  return y;
}

Row Product(const Memory& memory, const Matrix& w, const Row& x, std::span<const LowRankTerm> terms,
            int64_t index) {
  return Product(memory, w, x, terms, index, 0, 0, w.out);
}

double Sigmoid(double value) {
  return 1.0 / (1.0 + std::exp(-value));
}

double Clip(double value, float limit) {
  const auto most = static_cast<double>(limit);
  return limit > 0.0f ? std::clamp(value, -most, most) : value;
}

void AddBias(const Memory& memory, const float* bias, Row& values) {
  if (bias == nullptr) return;
  const Row added = Load(memory, bias, static_cast<int64_t>(values.size()));
  for (size_t i = 0; i < values.size(); ++i) values[i] += added[i];
}

// One network for one row, with the changes of an expert.
Row Network(const Memory& memory, const FfnWeights& w, const Row& x, std::span<const LowRankTerm> gate_up,
            std::span<const LowRankTerm> down, int64_t expert) {
  const int64_t width = w.down.in;
  Row gate = Product(memory, w.gate_up, x, gate_up, expert, 0, 0, width);
  Row up = Product(memory, w.gate_up, x, gate_up, expert, 1, width, width);
  AddBias(memory, w.gate_bias, gate);
  AddBias(memory, w.up_bias, up);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] * Sigmoid(gate[i]) * up[i];
  Row y = Product(memory, w.down, gate, down, expert);
  AddBias(memory, w.down_bias, y);
  return y;
}

// Entries by slot, as RouteArgs has them.
void Group(const Memory& memory, const int32_t* slot_home, int64_t entries, int64_t slots,
           int32_t* begin_home, int32_t* entry_home) {
  const int32_t* slot = memory.At(slot_home, entries);
  int32_t* begin = memory.At(begin_home, slots + 1);
  int32_t* entry = memory.At(entry_home, entries);
  int32_t count = 0;
  for (int32_t s = 0; s < slots; ++s) {
    begin[s] = count;
    for (int32_t i = 0; i < entries; ++i) {
      if (slot[i] == s) entry[count++] = i;
    }
  }
  begin[slots] = count;
}

const int32_t* MapOf(const Memory& memory, const RowSets& sets, int64_t row, int32_t number) {
  if (sets.none()) return nullptr;
  const int32_t set = Only(memory, sets.set + row);
  if (set < 0) return nullptr;
  return Only(memory, Only(memory, sets.tables + set).expert_maps + number);
}

}  // namespace

void Embed(const EmbedArgs& args, const Memory& memory) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const int32_t token = Only(memory, args.tokens + row);
    const size_t bytes = static_cast<size_t>(args.hidden) * DTypeSize(args.dtype);
    const std::byte* numbers =
        memory.At(static_cast<const std::byte*>(args.table) + static_cast<size_t>(token) * bytes,
                  static_cast<int64_t>(bytes));
    Row y;
    for (int64_t i = 0; i < args.hidden; ++i) {
      y.push_back(static_cast<double>(LoadElement(numbers, args.dtype, i)));
    }
    const auto terms = Terms(memory, args.low_rank, row);
    Multiply(Gains(memory, terms, 0, &LowRank::gain, 0, args.hidden), y);
    AddTerms(
        memory, terms, 0, 0,
        [&](const LowRank& change) {
          const DType dtype = DTypeOf(change.a.format);
          const auto size = static_cast<int64_t>(DTypeSize(dtype));
          const std::byte* a = memory.At(change.a.data, change.a.in * change.a.out * size);
          Row u;
          for (int64_t k = 0; k < change.a.out; ++k) {
            u.push_back(static_cast<double>(LoadElement(a, dtype, token * change.a.out + k)));
          }
          return u;
        },
        y);
    Store(memory, y, args.y + row * args.hidden);
  }
}

void RmsNorm(const RmsNormArgs& args, const Memory& memory) {
  const Row weight = Load(memory, args.weight, args.width);
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t group = 0; group < args.groups; ++group) {
      Row x = Load(memory, args.x + row * args.x_stride + group * args.width, args.width);
      double squares = 0;
      for (const double value : x) squares += value * value;
      const double factor =
          1.0 / std::sqrt(squares / static_cast<double>(args.width) + static_cast<double>(args.eps));
      for (size_t i = 0; i < x.size(); ++i) x[i] = Clip(x[i] * factor * weight[i], args.clip);
      Store(memory, x, args.y + row * args.y_stride + group * args.width);
    }
  }
}

void MatMul(const MatMulArgs& args, const Memory& memory) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const Row x = Load(memory, args.x + row * args.x_stride, args.w.in);
    Row y = Product(memory, args.w, x, Terms(memory, args.low_rank, row), 0);
    AddBias(memory, args.bias, y);
    float* to = args.y + row * args.y_stride;
    const Row before = args.accumulate ? Load(memory, to, args.w.out) : Row(y.size());
    for (size_t i = 0; i < y.size(); ++i) {
      y[i] = Clip(y[i], args.clip);
      if (args.sigmoid) y[i] = Sigmoid(y[i]);
      y[i] += before[i];
    }
    Store(memory, y, to);
  }
}

void HeadMatMul(const HeadMatMulArgs& args, const Memory& memory) {
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t head = 0; head < args.w.heads; ++head) {
      const Row x = Load(memory, args.x + row * args.x_stride + head * args.x_head_stride, args.w.first.in);
      Store(memory, Product(memory, args.w[head], x, Terms(memory, args.low_rank, row), head),
            args.y + row * args.y_stride + head * args.y_head_stride);
    }
  }
}

void Rope(const RopeArgs& args, const Memory& memory) {
  const int64_t half = args.rotary / 2;
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t angles = Only(memory, args.position + row) * half;
    const Row cos = Load(memory, args.cos + angles, half), sin = Load(memory, args.sin + angles, half);
    for (int64_t head = 0; head < args.heads; ++head) {
      float* from = args.x + row * args.x_stride + head * args.head_stride;
      const Row x = Load(memory, from, args.rotary);
      Row y(x.size());
      for (size_t i = 0; i < static_cast<size_t>(half); ++i) {
        const size_t a = args.interleaved ? 2 * i : i;
        const size_t b = args.interleaved ? 2 * i + 1 : i + static_cast<size_t>(half);
        y[a] = x[a] * cos[i] - x[b] * sin[i];
        y[b] = x[b] * cos[i] + x[a] * sin[i];
      }
      Store(memory, y, args.y == nullptr ? from : args.y + row * args.y_stride + head * args.y_head_stride);
    }
  }
}

void Route(const RouteArgs& args, const Memory& memory) {
  const int64_t k = args.gate.k;
  std::vector<float> bias;
  if (args.selection_bias != nullptr) {
    const float* values = memory.At(args.selection_bias, args.gate.experts);
    bias.assign(values, values + args.gate.experts);
  }
  int32_t* expert = memory.At(args.expert, args.rows * k);
  int32_t* slot = memory.At(args.slot, args.rows * k);
  float* weight = memory.At(args.weight, args.rows * k);
  for (int64_t row = 0; row < args.rows; ++row) {
    GateChoice choice{std::vector<int32_t>(static_cast<size_t>(k), -1), Row(static_cast<size_t>(k)), 0};
    if (TakesPart(memory, args.kv_place, row)) {
      const Row scores = Times(memory, args.w, Load(memory, args.x + row * args.x_stride, args.w.in));
      choice = ReferenceGate(args.gate, {scores.begin(), scores.end()}, bias);
    }
    const int32_t* map = MapOf(memory, args.sets, row, args.expert_map);
    for (int64_t j = 0; j < k; ++j) {
      const int32_t chosen = choice.expert[static_cast<size_t>(j)];
      const int32_t to = chosen < 0 || map == nullptr ? chosen : Only(memory, map + chosen);
      expert[row * k + j] = chosen;
      slot[row * k + j] = to;
      weight[row * k + j] = to < 0 ? 0.0f : static_cast<float>(choice.weight[static_cast<size_t>(j)]);
    }
  }
  Group(memory, args.slot, args.rows * k, args.slots, args.group_begin, args.group_entry);
}

void GroupBySet(const GroupBySetArgs& args, const Memory& memory) {
  int32_t* slot = memory.At(args.slot, args.rows);
  for (int64_t row = 0; row < args.rows; ++row) {
    const int32_t* map = MapOf(memory, args.sets, row, args.expert_map);
    slot[row] = map == nullptr ? 0 : Only(memory, map);
    if (!TakesPart(memory, args.kv_place, row)) slot[row] = -1;
  }
  Group(memory, args.slot, args.rows, args.slots, args.group_begin, args.group_entry);
}

void ExpertFfn(const ExpertFfnArgs& args, const Memory& memory) {
  const int32_t* begin = memory.At(args.group_begin, args.slots + 1);
  std::vector<Row> results(static_cast<size_t>(args.rows * args.k));
  for (int64_t slot = 0; slot < args.slots; ++slot) {
    for (int32_t place = begin[slot]; place < begin[slot + 1]; ++place) {
      const int32_t entry = Only(memory, args.group_entry + place);
      const int64_t row = entry / args.k;
      const Row x = Load(memory, args.x + row * args.x_stride, args.hidden);
      const int64_t expert = args.expert == nullptr ? 0 : Only(memory, args.expert + entry);
      results[static_cast<size_t>(entry)] =
          Network(memory, Only(memory, args.table + slot), x, Terms(memory, args.gate_up_low_rank, row),
                  Terms(memory, args.down_low_rank, row), expert);
    }
  }
  for (int64_t row = 0; row < args.rows; ++row) {
    Row y = Load(memory, args.y + row * args.y_stride, args.hidden);
    for (int64_t j = 0; j < args.k; ++j) {
      const int64_t entry = row * args.k + j;
      if (args.slot != nullptr && Only(memory, args.slot + entry) < 0) continue;
      const double weight =
          args.weight == nullptr ? 1.0 : static_cast<double>(Only(memory, args.weight + entry));
      for (size_t i = 0; i < y.size(); ++i) y[i] += weight * results[static_cast<size_t>(entry)].at(i);
    }
    Store(memory, y, args.y + row * args.y_stride);
  }
}

void Ffn(const FfnArgs& args, const Memory& memory) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const Row x = Load(memory, args.x + row * args.x_stride, args.hidden);
    const Row added = Network(memory, args.w, x, Terms(memory, args.gate_up_low_rank, row),
                              Terms(memory, args.down_low_rank, row), 0);
    const double weight = args.weight == nullptr ? 1.0 : static_cast<double>(Only(memory, args.weight + row));
    Row y = Load(memory, args.y + row * args.y_stride, args.hidden);
    for (size_t i = 0; i < y.size(); ++i) y[i] += weight * added[i];
    Store(memory, y, args.y + row * args.y_stride);
  }
}

void GatherRows(const GatherRowsArgs& args, const Memory& memory) {
  for (int64_t i = 0; i < args.rows; ++i) {
    const int32_t row = Only(memory, args.row + i);
    Store(memory, Load(memory, args.x + row * args.width, args.width), args.y + i * args.width);
  }
}

}  // namespace guildhall::reference
