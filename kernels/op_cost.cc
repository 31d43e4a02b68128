#include "kernels/op_cost.h"

#include <algorithm>

namespace guildhall {
namespace {

constexpr double kFloat = sizeof(float);

double D(int64_t value) {
  return static_cast<double>(value);
}

OpCost Product(const Matrix& w, int64_t rows) {
  return {WeightBytes(w) + kFloat * D(rows) * (D(w.in) + D(w.out)), 2.0 * D(rows) * D(w.in) * D(w.out)};
}

double ElementBytes(KvFormat format) {
  return KvNumberBytes(format);
}

// Bytes of one token's key and value of one layer; scales are not counted.
double TokenBytes(const KvShape& shape) {
  const int64_t elements = shape.key_dim + (shape.value_in_key ? 0 : shape.value_dim);
  return D(shape.kv_heads * elements) * ElementBytes(shape.format);
}

double FfnBytes(const FfnWeights& w) {
  return WeightBytes(w.gate_up) + WeightBytes(w.down);
}

double FfnFlops(int64_t entries, int64_t hidden, int64_t width) {
  return 6.0 * D(entries) * D(hidden) * D(width);
}

}  // namespace

double WeightBytes(const Matrix& matrix) {
  return matrix.empty() ? 0.0 : D(matrix.out) * D(matrix.in) * BitsPerWeight(matrix.format) / 8.0;
}

OpCost CostOf(const EmbedArgs& args) {
  return {D(args.rows * args.hidden) * (kFloat + static_cast<double>(DTypeSize(args.dtype))), 0.0};
}

OpCost CostOf(const RmsNormArgs& args) {
  return {2.0 * kFloat * D(args.rows * args.groups * args.width), 0.0};
}

OpCost CostOf(const MatMulArgs& args) {
  return Product(args.w, args.rows);
}

OpCost CostOf(const HeadMatMulArgs& args) {
  const OpCost head = Product(args.w.first, args.rows);
  return {head.bytes * D(args.w.heads), head.flops * D(args.w.heads)};
}

OpCost CostOf(const RopeArgs& args) {
  return {2.0 * kFloat * D(args.rows * args.heads * args.rotary), 0.0};
}

OpCost CostOf(const AppendKvArgs& args) {
  const int64_t elements = args.shape.kv_heads * (args.shape.key_dim + args.shape.value_dim);
  return {D(args.rows) * (kFloat * D(elements) + TokenBytes(args.shape)), 0.0};
}

// The rows of a sequence are neighbours, so its last row reaches the most keys and reads them for all.
OpCost CostOf(const AttentionArgs& args) {
  const StepData& step = *args.step;
  const auto keys = [&](int64_t row) {
    const int64_t all = step.kv_place[row] < 0 ? 0 : int64_t{step.positions[row]} + 1;
    return args.window > 0 ? std::min<int64_t>(all, args.window) : all;
  };
  double pairs = 0.0, read = 0.0;
  for (int64_t row = 0; row < step.rows; ++row) {
    pairs += D(keys(row));
    const bool last = row + 1 == step.rows || step.sequence[row + 1] != step.sequence[row];
    if (last) read += D(keys(row));
  }
  const double per_row = kFloat * D(args.heads * (args.shape.key_dim + args.shape.value_dim));
  return {read * TokenBytes(args.shape) + D(step.rows) * per_row,
          2.0 * pairs * D(args.heads * (args.shape.key_dim + args.shape.value_dim))};
}

OpCost CostOf(const RouteArgs& args) {
  return Product(args.w, args.rows);
}

OpCost CostOf(const GroupBySetArgs& args) {
  return {3.0 * sizeof(int32_t) * D(args.rows), 0.0};
}

OpCost CostOf(const ExpertFfnArgs& args) {
  OpCost cost{3.0 * kFloat * D(args.rows * args.hidden),
              FfnFlops(args.group_begin[args.slots], args.hidden, args.width)};
  for (int64_t slot = 0; slot < args.slots; ++slot) {
    if (args.group_begin[slot + 1] > args.group_begin[slot]) cost.bytes += FfnBytes(args.table[slot]);
  }
  return cost;
}

OpCost CostOf(const FfnArgs& args) {
  return {FfnBytes(args.w) + 3.0 * kFloat * D(args.rows * args.hidden),
          FfnFlops(args.rows, args.hidden, args.width)};
}

OpCost CostOf(const GatherRowsArgs& args) {
  return {2.0 * kFloat * D(args.rows * args.width), 0.0};
}

}  // namespace guildhall
