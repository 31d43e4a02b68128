// Qwen2: dense, biases on q, k and v always.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadQwen2(ConfigReader& config, ModelSpec& spec) {
  ReadGroupedQuery(config, spec, 32);
  config.MustBeAbsent("attention_bias", "this family has biases on q, k and v, and no key for them");
  spec.attention.q_bias = spec.attention.k_bias = spec.attention.v_bias = true;
  ReadQwenWindows(config, spec, /*derivable=*/true);
  spec.dense_width = config.Int("intermediate_size", 22016);
}

}  // namespace guildhall
