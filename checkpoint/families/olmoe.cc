// OLMoE: norms over the whole width of q and k, optional clipping, every layer MoE.
#include "base/str_cat.h"
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadOlmoe(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 0);
  AttentionSpec& attention = spec.attention;
  if (int64_t{attention.head_dim} * attention.heads != spec.hidden) {
    config.Refuse("head_dim",
                  StrCat("hidden_size / num_attention_heads (", spec.hidden / attention.heads, ")"));
  }
  ReadAttentionBias(config, spec);
  attention.qk_norm = AttentionSpec::QkNorm::kFullWidth;
  if (config.Has("clip_qkv")) attention.clip_qkv = static_cast<float>(config.PositiveNumber("clip_qkv", 1.0));
  config.object().MarkRead("clip_qkv");
  RefuseWindows(config);
  for (LayerSpec& layer : spec.layers) layer.moe = true;
  CheckLayerTypes(config, spec);

  ReadTopK(config, spec, config.EitherName("num_experts", "num_local_experts"), 64, 8);
  spec.gate.normalize = config.Bool("norm_topk_prob", false);
  spec.expert_width = config.Int("intermediate_size", 2048);
}

}  // namespace guildhall
