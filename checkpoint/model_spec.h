// One model, described as data. Every family of config.json ends here; the decoder knows nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "kernels/gate_spec.h"

namespace guildhall {

struct RopeSpec {
  enum class Kind { kDefault, kLinear, kDynamicNtk, kYarn, kLlama3 };
  Kind kind = Kind::kDefault;
  double theta = 10000.0;
  int rotary_dim = 0;        // elements of a head that rotate (partial rope: < head_dim)
  bool interleaved = false;  // pairs (2i, 2i+1) instead of halves
  double factor = 1.0;
  int64_t original_max_positions = 0;        // dynamic, yarn, llama3
  double attention_factor = 1.0;             // multiplies cos and sin (resolved: mscale, yarn's default, ...)
  double beta_fast = 32.0, beta_slow = 1.0;  // yarn
  bool truncate = true;                      // yarn: round the correction range
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
};

struct AttentionSpec {
  enum class Kind { kGroupedQuery, kLatent };
  enum class QkNorm { kNone, kPerHead, kFullWidth };
  Kind kind = Kind::kGroupedQuery;
  int heads = 0;
  int kv_heads = 0;      // grouped-query
  int head_dim = 0;      // grouped-query
  int q_lora_rank = 0;   // latent; 0: q comes from one projection
  int kv_lora_rank = 0;  // latent: the compressed form that the cache holds
  int qk_nope_dim = 0;   // latent
  int qk_rope_dim = 0;   // latent
  int v_head_dim = 0;    // latent
  float softmax_scale = 0.0f;
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false;
  // Latent attention with attention_bias: biases on q_a, kv_a and o.
  QkNorm qk_norm = QkNorm::kNone;
  float clip_qkv = 0.0f;          // > 0: clamp q, k, v after their norms
  float latent_norm_eps = 1e-6f;  // of q_a and kv_a; the families' own constant, not rms_norm_eps
  RopeSpec rope;
};

struct LayerSpec {
  bool moe = false;
  int sliding_window = 0;  // 0: full attention; w: the row itself and the w-1 tokens before it
};

struct ModelSpec {
  std::string architecture;    // "DeepseekV2ForCausalLM"
  std::string family;          // "deepseek_v2" (model_type)
  DType dtype = DType::kBF16;  // as config.json declares it; tensors carry their own
  int64_t hidden = 0;
  int64_t vocabulary = 0;
  int64_t max_positions = 0;  // the context limit that is served
  float norm_eps = 1e-6f;
  bool tied_embeddings = false;
  AttentionSpec attention;
  std::vector<LayerSpec> layers;
  int64_t dense_width = 0;  // of the layers that are not MoE; 0 where there is none
  bool mlp_bias = false;
  // MoE layers; experts == 0 in gate for dense models.
  GateSpec gate;
  int64_t expert_width = 0;
  int64_t shared_width = 0;  // all shared experts as one FFN; 0: none
  bool shared_gate = false;  // shared expert scaled by sigmoid(w . x)
  // Token ids; from config.json and generation_config.json.
  std::vector<int32_t> eos_tokens;
  int32_t bos_token = -1;  // -1: none

  bool moe() const { return gate.experts > 0; }
};

}  // namespace guildhall
