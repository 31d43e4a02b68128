// What DeepSeek-V2 and V3 share: latent attention, dense first layers, shared experts, groups of experts.
#pragma once

#include <cstdint>

#include "checkpoint/config_reader.h"
#include "checkpoint/model_spec.h"

namespace guildhall {

void ReadLatentAttention(ConfigReader& config, ModelSpec& spec);

// Sizes that a file may leave out, where V2 and V3 differ.
struct DeepseekMoeDefaults {
  int64_t experts;
  int64_t k;  // 0: the key is required
  int64_t expert_width;
  int64_t shared_experts;
  int64_t dense_layers;
  double scale;
};
void ReadDeepseekMoe(ConfigReader& config, ModelSpec& spec, const DeepseekMoeDefaults& defaults);

// n_group and topk_group: selection inside the best groups.
// `smallest_group` is what ranking a group asks for.
void ReadGroups(ConfigReader& config, ModelSpec& spec, int64_t absent_groups, int64_t absent_kept,
                int smallest_group);

}  // namespace guildhall
