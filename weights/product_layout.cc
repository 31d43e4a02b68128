#include "weights/product_layout.h"

#include "base/check.h"

namespace guildhall {
namespace {

int64_t LatentQueryOut(const AttentionSpec& a) {
  return int64_t{a.heads} * (a.qk_nope_dim + a.qk_rope_dim);
}

std::optional<ProductPlace> PlaceInLatent(const AttentionSpec& a, WeightRole role) {
  const bool compressed = a.q_lora_rank > 0;
  switch (role) {
    case WeightRole::kQ:
      if (compressed) return std::nullopt;
      return ProductPlace{Product::kQkv, 0};
    case WeightRole::kQA:
      if (!compressed) return std::nullopt;
      return ProductPlace{Product::kQkv, 0};
    case WeightRole::kKvA:
      return ProductPlace{Product::kQkv, compressed ? a.q_lora_rank : LatentQueryOut(a)};
    case WeightRole::kQB:
      if (!compressed) return std::nullopt;
      return ProductPlace{Product::kQB, 0};
    default:
      return std::nullopt;
  }
}

std::optional<ProductPlace> PlaceInGroupedQuery(const AttentionSpec& a, WeightRole role) {
  const int64_t q = int64_t{a.heads} * a.head_dim, kv = int64_t{a.kv_heads} * a.head_dim;
  switch (role) {
    case WeightRole::kQ:
      return ProductPlace{Product::kQkv, 0};
    case WeightRole::kK:
      return ProductPlace{Product::kQkv, q};
    case WeightRole::kV:
      if (a.clip_qkv > 0.0f) return ProductPlace{Product::kVClipped, 0};
      return ProductPlace{Product::kQkv, q + kv};
    default:
      return std::nullopt;
  }
}

WeightShape LatentShape(const ModelSpec& spec, WeightRole role) {
  const AttentionSpec& a = spec.attention;
  switch (role) {
    case WeightRole::kQ:
      GH_CHECK_EQ(a.q_lora_rank, 0);
      return {LatentQueryOut(a), spec.hidden};
    case WeightRole::kQA:
      GH_CHECK_GT(a.q_lora_rank, 0);
      return {a.q_lora_rank, spec.hidden};
    case WeightRole::kQB:
      GH_CHECK_GT(a.q_lora_rank, 0);
      return {LatentQueryOut(a), a.q_lora_rank};
    case WeightRole::kKvA:
      return {a.kv_lora_rank + a.qk_rope_dim, spec.hidden};
    case WeightRole::kKvB:
      return {int64_t{a.heads} * (a.qk_nope_dim + a.v_head_dim), a.kv_lora_rank};
    case WeightRole::kO:
      return {spec.hidden, int64_t{a.heads} * a.v_head_dim};
    default:
      GH_CHECK(!"a matrix of latent attention");
      return {};
  }
}

WeightShape GroupedQueryShape(const ModelSpec& spec, WeightRole role) {
  const AttentionSpec& a = spec.attention;
  const int64_t q = int64_t{a.heads} * a.head_dim, kv = int64_t{a.kv_heads} * a.head_dim;
  switch (role) {
    case WeightRole::kQ:
      return {q, spec.hidden};
    case WeightRole::kK:
    case WeightRole::kV:
      return {kv, spec.hidden};
    case WeightRole::kO:
      return {spec.hidden, q};
    default:
      GH_CHECK(!"a matrix of grouped-query attention");
      return {};
  }
}

}  // namespace

std::optional<ProductPlace> PlaceInProduct(const ModelSpec& spec, const WeightKey& key) {
  if (key.role == WeightRole::kO) return ProductPlace{Product::kO, 0};
  if (key.role == WeightRole::kSharedScore) return ProductPlace{Product::kSharedScore, 0};
  return spec.attention.kind == AttentionSpec::Kind::kLatent ? PlaceInLatent(spec.attention, key.role)
                                                             : PlaceInGroupedQuery(spec.attention, key.role);
}

int64_t ProductOut(const ModelSpec& spec, Product product) {
  const AttentionSpec& a = spec.attention;
  const bool latent = a.kind == AttentionSpec::Kind::kLatent;
  const int64_t kv = int64_t{a.kv_heads} * a.head_dim;
  switch (product) {
    case Product::kQkv:
      if (latent) {
        const int64_t first = a.q_lora_rank > 0 ? a.q_lora_rank : LatentQueryOut(a);
        return first + a.kv_lora_rank + a.qk_rope_dim;
      }
      return int64_t{a.heads} * a.head_dim + (a.clip_qkv > 0.0f ? kv : 2 * kv);
    case Product::kVClipped:
      GH_CHECK(!latent && a.clip_qkv > 0.0f);
      return kv;
    case Product::kQB:
      GH_CHECK(latent && a.q_lora_rank > 0);
      return LatentQueryOut(a);
    case Product::kO:
      return spec.hidden;
    case Product::kSharedScore:
      GH_CHECK(spec.shared_gate);
      return 1;
  }
  GH_CHECK(!"a product");
  return 0;
}

WeightShape ShapeOf(const ModelSpec& spec, const WeightKey& key) {
  switch (key.role) {
    case WeightRole::kEmbedding:
    case WeightRole::kHead:
      return {spec.vocabulary, spec.hidden};
    case WeightRole::kGate:
    case WeightRole::kUp:
      return {spec.dense_width, spec.hidden};
    case WeightRole::kDown:
      return {spec.hidden, spec.dense_width};
    case WeightRole::kRouter:
      return {spec.gate.experts, spec.hidden};
    case WeightRole::kExpertGate:
    case WeightRole::kExpertUp:
      return {spec.expert_width, spec.hidden};
    case WeightRole::kExpertDown:
      return {spec.hidden, spec.expert_width};
    case WeightRole::kSharedGate:
    case WeightRole::kSharedUp:
      return {spec.shared_width, spec.hidden};
    case WeightRole::kSharedDown:
      return {spec.hidden, spec.shared_width};
    case WeightRole::kSharedScore:
      return {1, spec.hidden};
    default:
      return spec.attention.kind == AttentionSpec::Kind::kLatent ? LatentShape(spec, key.role)
                                                                 : GroupedQueryShape(spec, key.role);
  }
}

}  // namespace guildhall
