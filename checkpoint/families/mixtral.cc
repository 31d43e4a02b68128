// Mixtral: every layer MoE, weights always normalised, one window for all layers.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadMixtral(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 8);
  config.MustBe("attention_bias", false, "this family has no biases");
  config.MustBe("use_sliding_window", false, "this family's key is sliding_window alone");
  const int window =
      static_cast<int>(config.Int("sliding_window", 0, config.Has("sliding_window") ? 1 : 0, 1 << 30));
  for (LayerSpec& layer : spec.layers) layer = {.moe = true, .sliding_window = window};
  CheckLayerTypes(config, spec);

  ReadTopK(config, spec, config.EitherName("num_local_experts", "num_experts"), 8, 2);
  spec.gate.normalize = true;
  spec.expert_width = config.Int("intermediate_size", 14336);
}

}  // namespace guildhall
