#include "checkpoint/attention_layout.h"

#include <catch2/catch.hpp>

namespace guildhall {
namespace {

// Hidden 32; 4 heads of 8 on 2 KV heads.
ModelSpec GroupedQuery() {
  ModelSpec spec;
  spec.hidden = 32;
  spec.attention.heads = 4;
  spec.attention.kv_heads = 2;
  spec.attention.head_dim = 8;
  return spec;
}

// Hidden 32; 2 heads of 12 + 8 rotary, values of 14; KV rank 18.
ModelSpec Latent(int q_lora_rank) {
  ModelSpec spec;
  spec.hidden = 32;
  AttentionSpec& a = spec.attention;
  a.kind = AttentionSpec::Kind::kLatent;
  a.heads = 2;
  a.q_lora_rank = q_lora_rank;
  a.kv_lora_rank = 18;
  a.qk_nope_dim = 12;
  a.qk_rope_dim = 8;
  a.v_head_dim = 14;
  return spec;
}

TEST_CASE("A row of grouped-query attention holds q, k, v, clipped or not") {
  ModelSpec spec = GroupedQuery();
  for (const float clip : {0.0f, 8.0f}) {
    spec.attention.clip_qkv = clip;
    const AttentionLayout layout(spec);
    CHECK(layout.RowBegin(WeightRole::kQ) == 0);
    CHECK(layout.RowBegin(WeightRole::kK) == 32);
    CHECK(layout.RowBegin(WeightRole::kV) == 48);
    CHECK(layout.RowWidth() == 64);
    CHECK(layout.ProductOut(Product::kVClipped) == (clip > 0.0f ? 16 : 0));
    CHECK(layout.Queries().weight == WeightRole::kQ);
    CHECK(layout.Matrix(WeightRole::kO).in == 32);
    CHECK(layout.norms().empty());
  }
}

TEST_CASE("A row of latent attention holds q, compressed or not, and the compressed keys and values") {
  const AttentionLayout compressed(Latent(20)), plain(Latent(0));
  CHECK(compressed.RowBegin(WeightRole::kKvA) == 20);
  CHECK(compressed.RowWidth() == 46);
  CHECK(compressed.Queries().weight == WeightRole::kQB);
  CHECK(compressed.Find(WeightRole::kQ) == nullptr);
  CHECK(compressed.NormWidth(WeightRole::kQANorm) == 20);
  CHECK(plain.RowBegin(WeightRole::kKvA) == 40);
  CHECK(plain.RowWidth() == 66);
  CHECK(plain.ProductOut(Product::kQB) == 0);
  CHECK(plain.Find(WeightRole::kQA) == nullptr);
  for (const AttentionLayout& layout : {compressed, plain}) {
    CHECK(layout.Queries().out == 40);
    CHECK(layout.NormWidth(WeightRole::kKvANorm) == 18);
    CHECK_FALSE(layout.Matrix(WeightRole::kKvB).product.has_value());
    CHECK(layout.Matrix(WeightRole::kKvB).out == 52);
  }
}

TEST_CASE("Norms of q and k are as wide as a head or as all heads") {
  ModelSpec spec = GroupedQuery();
  spec.attention.qk_norm = AttentionSpec::QkNorm::kPerHead;
  CHECK(AttentionLayout(spec).NormWidth(WeightRole::kQNorm) == 8);
  CHECK(AttentionLayout(spec).NormWidth(WeightRole::kKNorm) == 8);
  spec.attention.qk_norm = AttentionSpec::QkNorm::kFullWidth;
  CHECK(AttentionLayout(spec).NormWidth(WeightRole::kQNorm) == 32);
  CHECK(AttentionLayout(spec).NormWidth(WeightRole::kKNorm) == 16);
}

TEST_CASE("A matrix is biased where the model says so, and latent q never is") {
  ModelSpec spec = GroupedQuery();
  spec.attention.k_bias = true;
  CHECK_FALSE(AttentionLayout(spec).Matrix(WeightRole::kQ).biased);
  CHECK(AttentionLayout(spec).Matrix(WeightRole::kK).biased);
  CHECK(AttentionLayout(spec).Matrix(WeightRole::kK).bias == WeightRole::kKBias);
  spec = Latent(0);
  spec.attention.q_bias = spec.attention.k_bias = true;
  CHECK_FALSE(AttentionLayout(spec).Matrix(WeightRole::kQ).biased);
  CHECK(AttentionLayout(spec).Matrix(WeightRole::kKvA).biased);
}

}  // namespace
}  // namespace guildhall
