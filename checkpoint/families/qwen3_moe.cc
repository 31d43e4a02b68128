// Qwen3-MoE: norms on each head of q and k, no shared expert.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadQwen3Moe(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 4);
  ReadAttentionBias(config, spec);
  spec.attention.qk_norm = AttentionSpec::QkNorm::kPerHead;
  ReadSparseSteps(config, spec);
  // All layers or none: max_window_layers is written into the files and read by nobody.
  config.object().MarkRead("max_window_layers");
  const bool use = config.Bool("use_sliding_window", false);
  const int64_t window = config.Int("sliding_window", 4096, use ? 1 : 0, 1 << 30);
  if (use && !config.IsNull("sliding_window")) {
    for (LayerSpec& layer : spec.layers) layer.sliding_window = static_cast<int>(window);
  }
  CheckLayerTypes(config, spec);

  // The newer generation writes the number of experts under another name.
  ReadTopK(config, spec, config.EitherName("num_experts", "num_local_experts"), 128, 8);
  spec.gate.normalize = config.Bool("norm_topk_prob", false);
  spec.dense_width = config.Int("intermediate_size", 6144);
  spec.expert_width = config.Int("moe_intermediate_size", 768);
}

}  // namespace guildhall
