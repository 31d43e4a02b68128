// The KV cache and attention over it.
#include <algorithm>
#include <cmath>

#include "tests/reference/reference_ops.h"
#include "tests/reference/reference_rows.h"

namespace guildhall::reference {

int64_t KvBlockFloats(const KvShape& shape) {
  const int64_t token = shape.key_dim + (shape.value_in_key ? 0 : shape.value_dim);
  return kKvBlockTokens * shape.kv_heads * token;
}

namespace {

// Where a token's key or value of a head stands, from the cache's beginning, in floats.
int64_t KeyPlace(const KvShape& shape, int64_t stride, int64_t place, int64_t head) {
  return place / kKvBlockTokens * stride + (head * kKvBlockTokens + place % kKvBlockTokens) * shape.key_dim;
}
int64_t ValuePlace(const KvShape& shape, int64_t stride, int64_t place, int64_t head) {
  if (shape.value_in_key) return KeyPlace(shape, stride, place, head);
  return place / kKvBlockTokens * stride + kKvBlockTokens * int64_t{shape.kv_heads} * shape.key_dim +
         (head * kKvBlockTokens + place % kKvBlockTokens) * shape.value_dim;
}

}  // namespace

void AppendKv(const AppendKvArgs& args, const Memory& memory) {
  auto* cache = static_cast<float*>(args.cache);
  const auto stride = args.block_stride / static_cast<int64_t>(sizeof(float));
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t place = Only(memory, args.kv_place + row);
    if (place < 0) continue;
    for (int64_t head = 0; head < args.shape.kv_heads; ++head) {
      const int64_t key_dim = args.shape.key_dim, value_dim = args.shape.value_dim;
      Store(memory, Load(memory, args.k + row * args.k_stride + head * key_dim, key_dim),
            cache + KeyPlace(args.shape, stride, place, head));
      if (args.v == nullptr) continue;
      Store(memory, Load(memory, args.v + row * args.v_stride + head * value_dim, value_dim),
            cache + ValuePlace(args.shape, stride, place, head));
    }
  }
}

namespace {

Row Attend(const AttentionArgs& args, const Memory& memory, int64_t row, int64_t head) {
  const StepData& step = *args.step;
  const KvShape& shape = args.shape;
  const auto* cache = static_cast<const float*>(args.cache);
  const auto stride = args.block_stride / static_cast<int64_t>(sizeof(float));
  const int64_t kv_head = head / (args.heads / shape.kv_heads);
  const int64_t last = Only(memory, step.positions + row);
  const int64_t first = args.window == 0 ? 0 : std::max<int64_t>(0, last - args.window + 1);
  const int32_t* table =
      memory.At(step.block_table + Only(memory, step.sequence + row) * step.max_blocks, step.max_blocks);
  const auto place_of = [&](int64_t t) {
    return int64_t{table[t / kKvBlockTokens]} * kKvBlockTokens + t % kKvBlockTokens;
  };
  const Row q = Load(memory, args.q + row * args.q_stride + head * shape.key_dim, shape.key_dim);
  Row scores;
  for (int64_t t = first; t <= last; ++t) {
    const Row key = Load(memory, cache + KeyPlace(shape, stride, place_of(t), kv_head), shape.key_dim);
    double score = 0;
    for (size_t i = 0; i < q.size(); ++i) score += q[i] * key[i];
    scores.push_back(score * static_cast<double>(args.scale));
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - most);
  Row y(static_cast<size_t>(shape.value_dim));
  for (int64_t t = first; t <= last; ++t) {
    const Row value = Load(memory, cache + ValuePlace(shape, stride, place_of(t), kv_head), shape.value_dim);
    for (size_t i = 0; i < y.size(); ++i) y[i] += scores[static_cast<size_t>(t - first)] / sum * value[i];
  }
  return y;
}

}  // namespace

void Attention(const AttentionArgs& args, const Memory& memory) {
  for (int64_t row = 0; row < args.step->rows; ++row) {
    if (!TakesPart(memory, args.step->kv_place, row)) continue;
    for (int64_t head = 0; head < args.heads; ++head) {
      Store(memory, Attend(args, memory, row, head),
            args.y + row * args.y_stride + head * args.shape.value_dim);
    }
  }
}

}  // namespace guildhall::reference
