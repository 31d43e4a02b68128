#include "checkpoint/families/deepseek.h"

#include <algorithm>

#include "base/str_cat.h"
#include "checkpoint/families/common.h"

namespace guildhall {

void ReadLatentAttention(ConfigReader& config, ModelSpec& spec) {
  AttentionSpec& attention = spec.attention;
  attention.kind = AttentionSpec::Kind::kLatent;
  // Absent is not null: null says that q comes from one projection.
  attention.q_lora_rank =
      config.Dim("q_lora_rank", config.IsNull("q_lora_rank") ? 0 : 1536, config.Has("q_lora_rank") ? 1 : 0);
  attention.kv_lora_rank = config.Dim("kv_lora_rank", 512);
  attention.qk_nope_dim = config.Dim("qk_nope_head_dim", 128);
  attention.qk_rope_dim = config.Dim("qk_rope_head_dim", 64);
  attention.v_head_dim = config.Dim("v_head_dim", 128);
  attention.rope.rotary_dim = attention.qk_rope_dim;
  attention.rope.interleaved = true;
  const bool bias = config.Bool("attention_bias", false);
  attention.q_bias = bias && attention.q_lora_rank > 0;
  attention.k_bias = attention.o_bias = bias;
  const int64_t kv_heads = config.Int("num_key_value_heads", attention.heads);
  if (kv_heads != attention.heads && !config.Waives("num_key_value_heads")) {
    config.Refuse("num_key_value_heads", StrCat("num_attention_heads (", attention.heads, ")"),
                  "latent attention has one key per query head");
  }
  RefuseWindows(config);
  CheckLayerTypes(config, spec);
}

void ReadDeepseekMoe(ConfigReader& config, ModelSpec& spec, const DeepseekMoeDefaults& defaults) {
  if (defaults.k == 0) config.Required("num_experts_per_tok");
  ReadTopK(config, spec, "n_routed_experts", defaults.experts, std::max<int64_t>(defaults.k, 1));
  const size_t dense = static_cast<size_t>(config.Int("first_k_dense_replace", defaults.dense_layers, 0));
  for (size_t l = dense; l < spec.layers.size(); ++l) spec.layers[l].moe = true;
  config.MustBe("moe_layer_freq", 1, "only every layer after the dense ones");
  spec.dense_width = config.Int("intermediate_size", spec.dense_width);
  spec.expert_width = config.Int("moe_intermediate_size", defaults.expert_width);
  const int64_t shared = config.Int(
      "n_shared_experts", config.IsNull("n_shared_experts") ? 0 : defaults.shared_experts, 0, 1 << 16);
  spec.shared_width = shared * spec.expert_width;
  spec.gate.scale = static_cast<float>(config.Number("routed_scaling_factor", defaults.scale));
}

void ReadGroups(ConfigReader& config, ModelSpec& spec, int64_t absent_groups, int64_t absent_kept,
                int smallest_group) {
  GateSpec& gate = spec.gate;
  gate.groups = config.Dim("n_group", absent_groups);
  gate.groups_kept = config.Dim("topk_group", absent_kept);
  const int size = gate.experts / gate.groups;
  if (gate.experts % gate.groups != 0 || size < smallest_group) {
    config.Refuse("n_group", StrCat("a divisor of ", gate.experts, " experts with at least ", smallest_group,
                                    " experts in a group"));
  } else if (gate.groups_kept > gate.groups || gate.groups_kept * size < gate.k) {
    config.Refuse("topk_group",
                  StrCat("at most n_group (", gate.groups, ") and enough groups for ", gate.k, " experts"));
  }
  gate.selection =
      gate.groups_kept < gate.groups ? GateSpec::Selection::kGroupLimitedTopK : GateSpec::Selection::kTopK;
}

}  // namespace guildhall
