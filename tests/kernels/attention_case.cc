#include "tests/kernels/attention_case.h"

#include <algorithm>
#include <cmath>

#include "base/convert.h"

namespace guildhall {
namespace {

constexpr size_t kMostRows = 512;  // of one call, as MakeTestBackend() prepares

// What the cache keeps of `count` neighbours that share a scale.
void Store(KvFormat format, float* numbers, int64_t count) {
  if (format == KvFormat::kBF16) {
    for (int64_t i = 0; i < count; ++i) numbers[i] = BF16ToFloat(FloatToBF16(numbers[i]));
  }
  if (format == KvFormat::kF16) {
    for (int64_t i = 0; i < count; ++i) numbers[i] = F16ToFloat(FloatToF16(numbers[i]));
  }
  if (format != KvFormat::kInt8 || count == 0) return;
  double most = 0;
  for (int64_t i = 0; i < count; ++i) most = std::max(most, std::abs(static_cast<double>(numbers[i])));
  // The least bf16 that is not below most / 127.
  float scale = BF16ToFloat(FloatToBF16(static_cast<float>(most / 127)));
  if (static_cast<double>(scale) * 127 < most) {
    scale = BF16ToFloat(static_cast<uint16_t>(FloatToBF16(scale) + 1));
  }
  for (int64_t i = 0; i < count; ++i) {
    const double code = std::nearbyint(static_cast<double>(numbers[i]) / static_cast<double>(scale));
    numbers[i] = static_cast<float>(code) * scale;
  }
}

// Copies `count` floats at row `position` of `from` to the end of `to`.
void TakeRow(const std::vector<float>& from, int64_t position, int64_t count, std::vector<float>& to) {
  to.insert(to.end(), from.begin() + position * count, from.begin() + (position + 1) * count);
}

}  // namespace

std::string AttentionCase::Text() const {
  return "kv_heads " + std::to_string(shape.kv_heads) + ", group " + std::to_string(group) + ", key_dim " +
         std::to_string(shape.key_dim) + ", value_dim " + std::to_string(shape.value_dim) +
         (shape.value_in_key ? ", latent, " : ", ") + std::string(KvFormatName(shape.format)) + ", window " +
         std::to_string(window);
}

AttentionData::AttentionData(const AttentionCase& attention_case)
    : c(attention_case), scale(static_cast<float>(2.0 / std::sqrt(attention_case.shape.key_dim))) {
  Random random(c.seed);
  for (int64_t length : c.lengths) {
    keys.push_back(random.Floats(length * c.shape.kv_heads * c.shape.key_dim));
    values.push_back(random.Floats(c.shape.value_in_key ? 0 : length * c.shape.kv_heads * c.shape.value_dim));
    q.push_back(random.Floats(length * c.heads() * c.shape.key_dim));
  }
  Remember();
}

void AttentionData::Remember() {
  const KvShape& shape = c.shape;
  stored_keys = keys;
  stored_values = values;
  const int64_t first = shape.value_in_key ? shape.value_dim : shape.key_dim;
  for (size_t s = 0; s < keys.size(); ++s) {
    for (int64_t i = 0; i < c.lengths[s] * shape.kv_heads; ++i) {
      Store(shape.format, stored_keys[s].data() + i * shape.key_dim, first);
      Store(shape.format, stored_keys[s].data() + i * shape.key_dim + first, shape.key_dim - first);
      if (!shape.value_in_key) {
        Store(shape.format, stored_values[s].data() + i * shape.value_dim, shape.value_dim);
      }
    }
  }
}

std::vector<double> AttentionData::Reference(RowId row) const {
  const auto [sequence, position] = row;
  const auto s = static_cast<size_t>(sequence);
  const int64_t first = c.window == 0 ? 0 : std::max<int64_t>(0, position - c.window + 1);
  const int64_t key_dim = c.shape.key_dim, value_dim = c.shape.value_dim, kv_heads = c.shape.kv_heads;
  std::vector<double> y;
  for (int64_t head = 0; head < c.heads(); ++head) {
    const float* query = q[s].data() + (position * c.heads() + head) * key_dim;
    std::vector<double> weights;
    double max = -1e300, sum = 0;
    for (int64_t t = first; t <= position; ++t) {
      const float* key = stored_keys[s].data() + (t * kv_heads + head / c.group) * key_dim;
      double score = 0;
      for (int64_t i = 0; i < key_dim; ++i) score += static_cast<double>(query[i]) * key[i];
      weights.push_back(score * scale);
      max = std::max(max, weights.back());
    }
    for (double& weight : weights) sum += weight = std::exp(weight - max);
    std::vector<double> out(static_cast<size_t>(value_dim));
    for (int64_t t = first; t <= position; ++t) {
      const int64_t place = t * kv_heads + head / c.group;
      const float* value = c.shape.value_in_key ? stored_keys[s].data() + place * key_dim
                                                : stored_values[s].data() + place * value_dim;
      for (size_t i = 0; i < out.size(); ++i)
        out[i] += weights[static_cast<size_t>(t - first)] / sum * value[i];
    }
    y.insert(y.end(), out.begin(), out.end());
  }
  return y;
}

PagedCache::PagedCache(const AttentionData& data, Backend& backend, uint64_t block_seed)
    : data_(data),
      backend_(backend),
      max_blocks_((std::ranges::max(data.c.lengths) - 1) / kKvBlockTokens + 1),
      blocks_(static_cast<int64_t>(data.c.lengths.size()) * max_blocks_ + 3),
      cache_(FilledOnDevice(backend, static_cast<int64_t>(backend.KvBlockBytes(data.c.shape)) * blocks_,
                            std::byte{0xff})),
      table_(Random(block_seed).Permutation(blocks_)) {
  table_.resize(data.c.lengths.size() * static_cast<size_t>(max_blocks_));
}

void PagedCache::Append(const std::vector<RowId>& rows) {
  const KvShape& shape = data_.c.shape;
  std::vector<float> k, v;
  std::vector<int64_t> slots;
  for (const auto& [sequence, position] : rows) {
    const auto s = static_cast<size_t>(sequence);
    TakeRow(data_.keys[s], position, shape.kv_heads * shape.key_dim, k);
    if (!shape.value_in_key) TakeRow(data_.values[s], position, shape.kv_heads * shape.value_dim, v);
    const int64_t block = table_[static_cast<size_t>(sequence * max_blocks_ + position / kKvBlockTokens)];
    slots.push_back(block * kKvBlockTokens + position % kKvBlockTokens);
  }
  const auto k_there = OnDevice(backend_, k), v_there = OnDevice(backend_, v);
  const auto places = OnDevice(backend_, slots);
  AppendKvArgs args{};
  args.shape = shape;
  args.cache = cache_.data();
  args.block_stride = static_cast<int64_t>(backend_.KvBlockBytes(shape));
  args.k = k_there.data();
  args.v = shape.value_in_key ? nullptr : v_there.data();
  args.rows = static_cast<int64_t>(rows.size());
  args.k_stride = int64_t{shape.kv_heads} * shape.key_dim;
  args.v_stride = int64_t{shape.kv_heads} * shape.value_dim;
  args.kv_place = places.data();
  backend_.AppendKv(args);
  AwaitOps(backend_);  // what it reads goes now
}

std::vector<float> PagedCache::Attend(const std::vector<RowId>& rows) {
  const AttentionCase& c = data_.c;
  std::vector<float> q;
  std::vector<int32_t> positions, sequences;
  std::vector<int64_t> places(rows.size(), 0);
  for (const auto& [sequence, position] : rows) {
    TakeRow(data_.q[static_cast<size_t>(sequence)], position, c.heads() * c.shape.key_dim, q);
    positions.push_back(static_cast<int32_t>(position));
    sequences.push_back(static_cast<int32_t>(sequence));
  }
  const int64_t width = c.heads() * c.shape.value_dim;
  const auto q_there = OnDevice(backend_, q);
  const auto y = FilledOnDevice(backend_, static_cast<int64_t>(rows.size()) * width, 0.0f);
  AttentionArgs args{};
  args.step = &backend_.BeginStep({.tokens = {},
                                   .positions = positions,
                                   .sequence = sequences,
                                   .kv_place = places,
                                   .set = {},
                                   .block_table = table_,
                                   .max_blocks = max_blocks_,
                                   .logit_rows = {}});
  args.shape = c.shape;
  args.cache = cache_.data();
  args.block_stride = static_cast<int64_t>(backend_.KvBlockBytes(c.shape));
  args.q = q_there.data();
  args.y = y.data();
  args.heads = c.heads();
  args.q_stride = c.heads() * c.shape.key_dim;
  args.y_stride = width;
  args.scale = data_.scale;
  args.window = c.window;
  backend_.Attention(args);
  return y.Read();
}

std::vector<float> PagedCache::Step(const std::vector<RowId>& rows) {
  std::vector<float> y;
  for (size_t begin = 0; begin < rows.size(); begin += kMostRows) {
    const size_t end = std::min(rows.size(), begin + kMostRows);
    const std::vector<RowId> part(rows.begin() + static_cast<int64_t>(begin),
                                  rows.begin() + static_cast<int64_t>(end));
    Append(part);
    const auto attended = Attend(part);
    y.insert(y.end(), attended.begin(), attended.end());
  }
  return y;
}

std::vector<RowId> WholeSequence(const AttentionData& data, int64_t s) {
  std::vector<RowId> rows;
  for (int64_t i = 0; i < data.c.lengths[static_cast<size_t>(s)]; ++i) rows.emplace_back(s, i);
  return rows;
}

}  // namespace guildhall
