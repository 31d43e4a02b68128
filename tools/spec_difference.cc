#include "tools/spec_difference.h"

#include <string_view>
#include <type_traits>

#include "base/str_cat.h"

namespace guildhall {
namespace {

// Keeps the first difference that it sees.
class Comparison {
 public:
  template <typename T>
  void Same(std::string_view what, const T& a, const T& b) {
    if (!text_.empty() || a == b) return;
    if constexpr (std::is_enum_v<T>) {
      text_ = StrCat(what, ": kinds ", static_cast<int>(a), " and ", static_cast<int>(b));
    } else {
      text_ = StrCat(what, ": ", a, " and ", b);
    }
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void CompareRope(const RopeSpec& a, const RopeSpec& b, Comparison& c) {
  c.Same("rope kind", a.kind, b.kind);
  c.Same("rope theta", a.theta, b.theta);
  c.Same("rotary width", a.rotary_dim, b.rotary_dim);
  c.Same("rope interleaving", a.interleaved, b.interleaved);
  c.Same("rope factor", a.factor, b.factor);
  c.Same("rope's original positions", a.original_max_positions, b.original_max_positions);
  c.Same("rope attention factor", a.attention_factor, b.attention_factor);
  c.Same("rope beta_fast", a.beta_fast, b.beta_fast);
  c.Same("rope beta_slow", a.beta_slow, b.beta_slow);
  c.Same("rope truncation", a.truncate, b.truncate);
  c.Same("rope low_freq_factor", a.low_freq_factor, b.low_freq_factor);
  c.Same("rope high_freq_factor", a.high_freq_factor, b.high_freq_factor);
}

void CompareAttention(const AttentionSpec& a, const AttentionSpec& b, Comparison& c) {
  c.Same("attention kind", a.kind, b.kind);
  c.Same("heads", a.heads, b.heads);
  c.Same("key and value heads", a.kv_heads, b.kv_heads);
  c.Same("head width", a.head_dim, b.head_dim);
  c.Same("q_lora_rank", a.q_lora_rank, b.q_lora_rank);
  c.Same("kv_lora_rank", a.kv_lora_rank, b.kv_lora_rank);
  c.Same("qk_nope_head_dim", a.qk_nope_dim, b.qk_nope_dim);
  c.Same("qk_rope_head_dim", a.qk_rope_dim, b.qk_rope_dim);
  c.Same("v_head_dim", a.v_head_dim, b.v_head_dim);
  c.Same("softmax scale", a.softmax_scale, b.softmax_scale);
  c.Same("bias of q", a.q_bias, b.q_bias);
  c.Same("bias of k", a.k_bias, b.k_bias);
  c.Same("bias of v", a.v_bias, b.v_bias);
  c.Same("bias of o", a.o_bias, b.o_bias);
  c.Same("norms of q and k", a.qk_norm, b.qk_norm);
  c.Same("clip_qkv", a.clip_qkv, b.clip_qkv);
  c.Same("latent norm epsilon", a.latent_norm_eps, b.latent_norm_eps);
  CompareRope(a.rope, b.rope, c);
}

void CompareGate(const GateSpec& a, const GateSpec& b, Comparison& c) {
  c.Same("experts", a.experts, b.experts);
  c.Same("experts per token", a.k, b.k);
  c.Same("router activation", a.activation, b.activation);
  c.Same("router selection", a.selection, b.selection);
  c.Same("router group score", a.group_score, b.group_score);
  c.Same("router groups", a.groups, b.groups);
  c.Same("router groups kept", a.groups_kept, b.groups_kept);
  c.Same("router selection bias", a.selection_bias, b.selection_bias);
  c.Same("router normalisation", a.normalize, b.normalize);
  c.Same("router epsilon", a.epsilon, b.epsilon);
  c.Same("router scale", a.scale, b.scale);
}

}  // namespace

std::string SpecDifference(const ModelSpec& a, const ModelSpec& b) {
  Comparison c;
  c.Same("model_type", a.family, b.family);
  c.Same("layers", a.layers.size(), b.layers.size());
  if (!c.text().empty()) return c.text();
  c.Same("hidden", a.hidden, b.hidden);
  c.Same("vocabulary", a.vocabulary, b.vocabulary);
  c.Same("norm epsilon", a.norm_eps, b.norm_eps);
  c.Same("tied embeddings", a.tied_embeddings, b.tied_embeddings);
  CompareAttention(a.attention, b.attention, c);
  for (size_t i = 0; i < a.layers.size(); ++i) {
    c.Same(StrCat("experts in layer ", i), a.layers[i].moe, b.layers[i].moe);
    c.Same(StrCat("window of layer ", i), a.layers[i].sliding_window, b.layers[i].sliding_window);
  }
  c.Same("dense width", a.dense_width, b.dense_width);
  c.Same("biases of dense layers", a.mlp_bias, b.mlp_bias);
  CompareGate(a.gate, b.gate, c);
  c.Same("expert width", a.expert_width, b.expert_width);
  c.Same("shared width", a.shared_width, b.shared_width);
  c.Same("gate of the shared experts", a.shared_gate, b.shared_gate);
  return c.text();
}

}  // namespace guildhall
