// The attention half of a layer: grouped-query and latent.
#include "model/step.h"

namespace guildhall {
namespace {

// Heads of the batch's rows somewhere in a wider buffer: (rows, heads), strides in elements.
struct Heads {
  float* data = nullptr;
  int64_t stride = 0, head_stride = 0;
};

// Rotates `heads` heads of every row; `to` without data: in place.
void ApplyRope(Step& step, int64_t heads, const Heads& from, const Heads& to = {}) {
  const RopeSpec& rope = step.spec.attention.rope;
  step.backend.Rope({.x = from.data,
                     .rows = step.batch.rows(),
                     .heads = heads,
                     .rotary = rope.rotary_dim,
                     .x_stride = from.stride,
                     .head_stride = from.head_stride,
                     .cos = step.act.cos,
                     .sin = step.act.sin,
                     .interleaved = rope.interleaved,
                     .y = to.data,
                     .y_stride = to.stride,
                     .y_head_stride = to.head_stride});
}

// The norms of q and k, where the family has them: over each head, or over the projection's full width.
void NormQueryKey(Step& step, const LayerWeights& weights, float* q, float* k) {
  const AttentionSpec& a = step.spec.attention;
  const int64_t stride = step.shape.qkv_width;
  auto norm = [&](float* x, const float* weight, int64_t heads) {
    const bool full = a.qk_norm == AttentionSpec::QkNorm::kFullWidth;
    step.backend.RmsNorm({.x = x,
                          .weight = weight,
                          .y = x,
                          .rows = step.batch.rows(),
                          .groups = full ? 1 : heads,
                          .width = full ? heads * a.head_dim : a.head_dim,
                          .x_stride = stride,
                          .y_stride = stride,
                          .eps = step.spec.norm_eps,
                          .clip = a.clip_qkv});
  };
  norm(q, weights.q_norm, a.heads);
  norm(k, weights.k_norm, a.kv_heads);
}

void Attend(Step& step, const LayerSpec& layer, const void* cache, const float* q, int64_t q_stride) {
  const AttentionSpec& a = step.spec.attention;
  step.backend.Attention({.shape = step.shape.kv,
                          .cache = cache,
                          .q = q,
                          .y = step.act.context,
                          .rows = step.batch.rows(),
                          .heads = a.heads,
                          .q_stride = q_stride,
                          .y_stride = int64_t{a.heads} * step.shape.kv.value_dim,
                          .position = step.batch.positions.data(),
                          .sequence = step.batch.sequence.data(),
                          .block_table = step.batch.block_table.data(),
                          .max_blocks = step.batch.max_blocks,
                          .scale = a.softmax_scale,
                          .window = layer.sliding_window});
}

void Project(Step& step, const LayerWeights& weights, const float* attended) {
  step.backend.MatMul({.x = attended,
                       .w = weights.o,
                       .bias = weights.o_bias,
                       .y = step.act.residual,
                       .rows = step.batch.rows(),
                       .x_stride = step.shape.attention_width,
                       .y_stride = step.spec.hidden,
                       .accumulate = true,
                       .low_rank = step.adapters.ForProduct(step.layer, Product::kO)});
}

void GroupedQueryAttention(Step& step, const LayerWeights& weights, const LayerSpec& layer, void* cache) {
  const AttentionSpec& a = step.spec.attention;
  const int64_t rows = step.batch.rows(), stride = step.shape.qkv_width, hidden = step.spec.hidden;
  float* q = step.act.qkv;
  float* k = q + step.shape.key_begin;
  float* v = q + step.shape.value_begin;
  // Without norms the clamp of q and k belongs to the product; with norms it comes after them.
  const bool normed = a.qk_norm != AttentionSpec::QkNorm::kNone;
  step.backend.MatMul({.x = step.act.normed,
                       .w = weights.qkv,
                       .bias = weights.qkv_bias,
                       .y = q,
                       .rows = rows,
                       .x_stride = hidden,
                       .y_stride = stride,
                       .clip = normed ? 0.0f : a.clip_qkv,
                       .low_rank = step.adapters.ForProduct(step.layer, Product::kQkv)});
  if (!weights.v_clipped.empty()) {
    step.backend.MatMul({.x = step.act.normed,
                         .w = weights.v_clipped,
                         .bias = weights.v_clipped_bias,
                         .y = v,
                         .rows = rows,
                         .x_stride = hidden,
                         .y_stride = stride,
                         .clip = a.clip_qkv,
                         .low_rank = step.adapters.ForProduct(step.layer, Product::kVClipped)});
  }
  if (normed) NormQueryKey(step, weights, q, k);
  ApplyRope(step, a.heads, {q, stride, a.head_dim});
  ApplyRope(step, a.kv_heads, {k, stride, a.head_dim});
  step.backend.AppendKv({.shape = step.shape.kv,
                         .cache = cache,
                         .k = k,
                         .v = v,
                         .rows = rows,
                         .k_stride = stride,
                         .v_stride = stride,
                         .slot = step.batch.kv_slot.data()});
  Attend(step, layer, cache, q, stride);
  Project(step, weights, step.act.context);
}

// The products of the normed input, and the queries of all heads from them.
Heads LatentQueries(Step& step, const LayerWeights& weights) {
  const AttentionSpec& a = step.spec.attention;
  const int64_t rows = step.batch.rows(), stride = step.shape.qkv_width, head = a.qk_nope_dim + a.qk_rope_dim;
  Activations& act = step.act;
  step.backend.MatMul({.x = act.normed,
                       .w = weights.qkv,
                       .bias = weights.qkv_bias,
                       .y = act.qkv,
                       .rows = rows,
                       .x_stride = step.spec.hidden,
                       .y_stride = stride,
                       .low_rank = step.adapters.ForProduct(step.layer, Product::kQkv)});
  if (a.q_lora_rank == 0) return {act.qkv, stride, head};
  step.backend.RmsNorm({.x = act.qkv,
                        .weight = weights.q_a_norm,
                        .y = act.qkv,
                        .rows = rows,
                        .groups = 1,
                        .width = a.q_lora_rank,
                        .x_stride = stride,
                        .y_stride = stride,
                        .eps = a.latent_norm_eps});
  step.backend.MatMul({.x = act.qkv,
                       .w = weights.q_b,
                       .y = act.query,
                       .rows = rows,
                       .x_stride = stride,
                       .y_stride = step.shape.query_width,
                       .low_rank = step.adapters.ForProduct(step.layer, Product::kQB)});
  return {act.query, step.shape.query_width, head};
}

// The compressed keys and values of the rows: normed, their rotary part rotated, appended to the cache.
void AppendLatent(Step& step, const LayerWeights& weights, void* cache) {
  const AttentionSpec& a = step.spec.attention;
  const int64_t rows = step.batch.rows(), stride = step.shape.qkv_width;
  const int64_t rank = a.kv_lora_rank, key_dim = step.shape.kv.key_dim;
  Activations& act = step.act;
  float* latent = act.qkv + step.shape.key_begin;
  step.backend.RmsNorm({.x = latent,
                        .weight = weights.kv_a_norm,
                        .y = act.latent_key,
                        .rows = rows,
                        .groups = 1,
                        .width = rank,
                        .x_stride = stride,
                        .y_stride = key_dim,
                        .eps = a.latent_norm_eps});
  ApplyRope(step, 1, {latent + rank, stride, a.qk_rope_dim}, {act.latent_key + rank, key_dim, a.qk_rope_dim});
  step.backend.AppendKv({.shape = step.shape.kv,
                         .cache = cache,
                         .k = act.latent_key,
                         .v = nullptr,
                         .rows = rows,
                         .k_stride = key_dim,
                         .v_stride = 0,
                         .slot = step.batch.kv_slot.data()});
}

// Latent attention in its absorbed form, for every row alike: the query of each head is moved into the latent
// space (k_up), scored against the compressed cache, and the weighted latent is moved out of it (v_up).
void LatentAttention(Step& step, const LayerWeights& weights, const LayerSpec& layer, void* cache) {
  const AttentionSpec& a = step.spec.attention;
  const int64_t rows = step.batch.rows(), rank = a.kv_lora_rank, key_dim = step.shape.kv.key_dim;
  const int64_t absorbed_stride = a.heads * key_dim;
  Activations& act = step.act;
  const Heads q = LatentQueries(step, weights);
  AppendLatent(step, weights, cache);
  step.backend.HeadMatMul({.x = q.data,
                           .w = weights.k_up,
                           .y = act.absorbed,
                           .rows = rows,
                           .x_stride = q.stride,
                           .x_head_stride = q.head_stride,
                           .y_stride = absorbed_stride,
                           .y_head_stride = key_dim,
                           .low_rank = step.adapters.ForKUp(step.layer)});
  ApplyRope(step, a.heads, {q.data + a.qk_nope_dim, q.stride, q.head_stride},
            {act.absorbed + rank, absorbed_stride, key_dim});
  Attend(step, layer, cache, act.absorbed, absorbed_stride);
  step.backend.HeadMatMul({.x = act.context,
                           .w = weights.v_up,
                           .y = act.attended,
                           .rows = rows,
                           .x_stride = a.heads * rank,
                           .x_head_stride = rank,
                           .y_stride = step.shape.attention_width,
                           .y_head_stride = a.v_head_dim,
                           .low_rank = step.adapters.ForVUp(step.layer)});
  Project(step, weights, act.attended);
}

}  // namespace

void AttentionLayer(Step& step, const LayerWeights& weights, const LayerSpec& layer, void* cache) {
  if (step.spec.attention.kind == AttentionSpec::Kind::kLatent) {
    LatentAttention(step, weights, layer, cache);
  } else {
    GroupedQueryAttention(step, weights, layer, cache);
  }
}

}  // namespace guildhall
