#include "checkpoint/attention_layout.h"

#include <algorithm>

#include "base/check.h"

namespace guildhall {

AttentionLayout::AttentionLayout(const ModelSpec& spec) {
  if (spec.attention.kind == AttentionSpec::Kind::kLatent) {
    Latent(spec);
  } else {
    GroupedQuery(spec);
  }
}

void AttentionLayout::GroupedQuery(const ModelSpec& spec) {
  const AttentionSpec& a = spec.attention;
  const int64_t q = int64_t{a.heads} * a.head_dim, kv = int64_t{a.kv_heads} * a.head_dim;
  // Values are clamped in their product, q and k after their norms: so v cannot be in theirs.
  const Product v = a.clip_qkv > 0.0f ? Product::kVClipped : Product::kQkv;
  Add({WeightRole::kQ, q, spec.hidden, WeightRole::kQBias, a.q_bias, Product::kQkv});
  Add({WeightRole::kK, kv, spec.hidden, WeightRole::kKBias, a.k_bias, Product::kQkv});
  Add({WeightRole::kV, kv, spec.hidden, WeightRole::kVBias, a.v_bias, v});
  Add({WeightRole::kO, spec.hidden, q, WeightRole::kOBias, a.o_bias, Product::kO});
  if (a.qk_norm == AttentionSpec::QkNorm::kNone) return;
  const bool full = a.qk_norm == AttentionSpec::QkNorm::kFullWidth;
  norms_ = {{WeightRole::kQNorm, full ? q : a.head_dim}, {WeightRole::kKNorm, full ? kv : a.head_dim}};
}

void AttentionLayout::Latent(const ModelSpec& spec) {
  const AttentionSpec& a = spec.attention;
  const int64_t heads = a.heads, queries = heads * (a.qk_nope_dim + a.qk_rope_dim);
  const int64_t rank = a.kv_lora_rank;
  if (a.q_lora_rank > 0) {
    Add({WeightRole::kQA, a.q_lora_rank, spec.hidden, WeightRole::kQABias, a.q_bias, Product::kQkv});
    Add({WeightRole::kQB, queries, a.q_lora_rank, std::nullopt, false, Product::kQB});
    norms_.push_back({WeightRole::kQANorm, a.q_lora_rank});
  } else {
    // The families give attention_bias no effect on q where it comes from one projection.
    Add({WeightRole::kQ, queries, spec.hidden, WeightRole::kQBias, false, Product::kQkv});
  }
  Add({WeightRole::kKvA, rank + a.qk_rope_dim, spec.hidden, WeightRole::kKvABias, a.k_bias, Product::kQkv});
  Add({WeightRole::kKvB, heads * (a.qk_nope_dim + a.v_head_dim), rank});
  Add({WeightRole::kO, spec.hidden, heads * a.v_head_dim, WeightRole::kOBias, a.o_bias, Product::kO});
  norms_.push_back({WeightRole::kKvANorm, rank});
}

void AttentionLayout::Add(AttentionMatrix matrix) {
  if (matrix.product) matrix.out_begin = ProductOut(*matrix.product);
  matrices_.push_back(matrix);
}

const AttentionMatrix* AttentionLayout::Find(WeightRole weight) const {
  const auto found = std::find_if(matrices_.begin(), matrices_.end(),
                                  [&](const AttentionMatrix& matrix) { return matrix.weight == weight; });
  return found == matrices_.end() ? nullptr : &*found;
}

const AttentionMatrix& AttentionLayout::Matrix(WeightRole weight) const {
  const AttentionMatrix* matrix = Find(weight);
  GH_CHECK(matrix != nullptr);
  return *matrix;
}

int64_t AttentionLayout::NormWidth(WeightRole weight) const {
  const auto found = std::find_if(norms_.begin(), norms_.end(),
                                  [&](const AttentionNorm& norm) { return norm.weight == weight; });
  GH_CHECK(found != norms_.end());
  return found->width;
}

const AttentionMatrix& AttentionLayout::Queries() const {
  const AttentionMatrix* expanded = Find(WeightRole::kQB);
  return expanded != nullptr ? *expanded : Matrix(WeightRole::kQ);
}

int64_t AttentionLayout::ProductOut(Product product) const {
  int64_t out = 0;
  for (const AttentionMatrix& matrix : matrices_) out += matrix.product == product ? matrix.out : 0;
  return out;
}

int64_t AttentionLayout::RowWidth() const {
  return ProductOut(Product::kQkv) + ProductOut(Product::kVClipped);
}

int64_t AttentionLayout::RowBegin(WeightRole weight) const {
  const AttentionMatrix& matrix = Matrix(weight);
  if (matrix.product == Product::kVClipped) return ProductOut(Product::kQkv) + matrix.out_begin;
  GH_CHECK(matrix.product == Product::kQkv);
  return matrix.out_begin;
}

}  // namespace guildhall
