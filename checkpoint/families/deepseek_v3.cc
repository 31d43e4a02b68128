// DeepSeek-V3: sigmoid scores, a bias for the selection only, groups ranked by the sum of their two best.
#include "base/str_cat.h"
#include "checkpoint/families/deepseek.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadDeepseekV3(ConfigReader& config, ModelSpec& spec) {
  ReadLatentAttention(config, spec);
  AttentionSpec& attention = spec.attention;
  attention.rope.interleaved = config.Bool("rope_interleave", true);
  const int64_t head_dim = config.Int("head_dim", attention.qk_rope_dim);
  if (head_dim != attention.qk_rope_dim && !config.Waives("head_dim")) {
    config.Refuse("head_dim", StrCat("qk_rope_head_dim (", attention.qk_rope_dim, ")"));
  }
  config.MustBe("mlp_bias", false, "this family has none");
  spec.dense_width = 18432;
  ReadDeepseekMoe(
      config, spec,
      {.experts = 256, .k = 8, .expert_width = 2048, .shared_experts = 1, .dense_layers = 3, .scale = 2.5});
  config.MustBe("topk_method", "noaux_tc");
  config.MustBe("scoring_func", "sigmoid");

  ReadGroups(config, spec, 8, 4, /*smallest_group=*/2);
  GateSpec& gate = spec.gate;
  gate.activation = GateSpec::Activation::kSigmoid;
  gate.group_score = GateSpec::GroupScore::kSumOfTop2;
  gate.selection_bias = true;
  gate.normalize = config.Bool("norm_topk_prob", true);
  gate.epsilon = 1e-20f;
}

}  // namespace guildhall
