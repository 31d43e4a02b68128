// DeepSeek-V2: softmax router, groups ranked by their best expert.
#include "checkpoint/families/deepseek.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadDeepseekV2(ConfigReader& config, ModelSpec& spec) {
  ReadLatentAttention(config, spec);
  config.object().MarkRead("head_dim");  // overwritten by qk_rope_head_dim
  spec.dense_width = 11008;
  ReadDeepseekMoe(
      config, spec,
      {.experts = 64, .k = 0, .expert_width = 1407, .shared_experts = 2, .dense_layers = 0, .scale = 1.0});
  spec.mlp_bias = config.Bool("mlp_bias", false);
  config.MustBe("norm_topk_prob", false, "releases of the model's code disagree on what true means");
  config.MustBe("scoring_func", "softmax");

  const std::string method = config.String("topk_method", "greedy");
  if (method == "group_limited_greedy") {
    config.Required("n_group");
    config.Required("topk_group");
    ReadGroups(config, spec, 1, 1, /*smallest_group=*/1);
    spec.gate.group_score = GateSpec::GroupScore::kMax;
  } else {
    if (method != "greedy" && !config.Waives("topk_method"))
      config.Refuse("topk_method", "greedy or group_limited_greedy");
    for (const char* key : {"n_group", "topk_group"}) config.object().MarkRead(key);
  }
}

}  // namespace guildhall
