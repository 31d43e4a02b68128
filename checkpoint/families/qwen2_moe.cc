// Qwen2-MoE: biases on q, k and v, and a shared expert behind a sigmoid gate.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadQwen2Moe(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 16);
  const bool bias = config.Bool("qkv_bias", true);
  spec.attention.q_bias = spec.attention.k_bias = spec.attention.v_bias = bias;
  config.MustBeAbsent("attention_bias", "this family's key is qkv_bias");
  ReadSparseSteps(config, spec);
  ReadQwenWindows(config, spec, /*derivable=*/false);

  ReadTopK(config, spec, "num_experts", 60, 4);
  spec.gate.normalize = config.Bool("norm_topk_prob", false);
  spec.dense_width = config.Int("intermediate_size", 5632);
  spec.expert_width = config.Int("moe_intermediate_size", 1408);
  spec.shared_width = config.Int("shared_expert_intermediate_size", 5632);
  spec.shared_gate = true;
}

}  // namespace guildhall
