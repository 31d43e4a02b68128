// Qwen3: dense, norms on each head of q and k; heads are 128 wide unless the file says otherwise.
#include "checkpoint/families/common.h"
#include "checkpoint/families/family.h"

namespace guildhall {

void ReadQwen3(ConfigReader& config, ModelSpec& spec) {
  // An explicit null means hidden / heads.
  ReadGroupedQuery(config, spec, 32, config.IsNull("head_dim") ? 0 : 128);
  ReadAttentionBias(config, spec);
  spec.attention.qk_norm = AttentionSpec::QkNorm::kPerHead;
  ReadQwenWindows(config, spec, /*derivable=*/true);
  spec.dense_width = config.Int("intermediate_size", 22016);
}

}  // namespace guildhall
