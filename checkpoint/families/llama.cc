// Llama: dense, with optional biases.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadLlama(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 0);
  ReadAttentionBias(config, spec);
  RefuseWindows(config);
  CheckLayerTypes(config, spec);
  spec.mlp_bias = config.Bool("mlp_bias", false);
  spec.dense_width = config.Int("intermediate_size", 11008);
}

}  // namespace guildhall
